// Kept outcomes come back as they were, and only for the scores they belong to.
#include "saferclip/evaluate/outcome_file.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "saferclip/core/atomic_files.h"
#include "saferclip/core/files.h"
#include "support/temporary_folder.h"

namespace saferclip {
namespace {

std::vector<PlacedTable> small_tables() {
  const float none = std::numeric_limits<float>::quiet_NaN();
  PlacedTable split{{}, {3, {}, {0, 0, 1}}};
  split.table.columns.push_back({{"retrieval", "text_to_image", "r@1"}, {1, 0, none}});
  split.table.columns.push_back({{"safeground", "gs"}, {none, none, 1}});
  PlacedTable zero_shot{{"zero_shot", "my.set"}, {2, {}, {}}};
  zero_shot.table.columns.push_back({{"top1"}, {0, 1}});
  zero_shot.table.columns.push_back({{"mean_per_class_recall"}, {0, 1}, {0.25, 1.0 / 3}});
  return {split, zero_shot};
}

TEST(OutcomeFile, ComesBackAsItWas) {
  const TemporaryFolder folder;
  const OrderedJson scores{{"safeground", {{"gs", 100.0}}}};
  const auto file = folder.path() / "x.safetensors";
  write_outcomes(file, small_tables(), scores);
  const auto read = read_outcomes(file, scores);
  ASSERT_TRUE(read);
  const std::vector<PlacedTable> wanted = small_tables();
  ASSERT_EQ(read->size(), wanted.size());
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    const OutcomeTable &a = (*read)[i].table, &b = wanted[i].table;
    EXPECT_EQ((*read)[i].place, wanted[i].place);
    EXPECT_EQ(a.rows, b.rows);
    EXPECT_EQ(a.cluster, b.cluster);
    ASSERT_EQ(a.columns.size(), b.columns.size());
    for (std::size_t c = 0; c < b.columns.size(); ++c) {
      EXPECT_EQ(a.columns[c].keys, b.columns[c].keys);
      EXPECT_EQ(a.columns[c].weight, b.columns[c].weight);
      for (std::size_t row = 0; row < b.columns[c].value.size(); ++row) {
        const float x = a.columns[c].value[row], y = b.columns[c].value[row];
        EXPECT_TRUE(x == y || (std::isnan(x) && std::isnan(y))) << i << " " << c << " " << row;
      }
    }
  }
}

TEST(OutcomeFile, OfOtherScoresOrDamagedIsNone) {
  const TemporaryFolder folder;
  const OrderedJson scores{{"safeground", {{"gs", 100.0}}}};
  const auto file = folder.path() / "x.safetensors";
  EXPECT_FALSE(read_outcomes(file, scores));
  write_outcomes(file, small_tables(), scores);
  EXPECT_FALSE(read_outcomes(file, {{"safeground", {{"gs", 50.0}}}}));
  const std::string whole = read_file(file);
  for (const std::size_t size : {std::size_t{0}, std::size_t{20}, whole.size() - 1}) {
    write_file_atomically(file, whole.substr(0, size));
    EXPECT_FALSE(read_outcomes(file, scores)) << size;
  }
}

}  // namespace
}  // namespace saferclip
