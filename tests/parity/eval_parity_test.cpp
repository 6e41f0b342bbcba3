// Metrics against a NumPy oracle (scripts/fixtures/eval.py).
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "saferclip/core/files.h"
#include "saferclip/core/text_format.h"
#include "saferclip/eval/intervals.h"
#include "saferclip/eval/outcomes.h"
#include "saferclip/eval/space.h"
#include "saferclip/io/safetensors.h"

namespace saferclip {
namespace {

constexpr double kTolerance = 1e-9;

class MetricsParity : public ::testing::Test {
 protected:
  MetricsParity() {
    for (const int flag : expected["has_image"]) set.has_unsafe_image.push_back(flag != 0);
    for (const int gallery : expected["galleries"]) set.gallery.push_back(std::to_string(gallery));
    for (const std::string tag : expected["tags"]) set.tag.push_back(tag);
    for (const char* name : {"safe_text", "safe_image", "unsafe_text", "unsafe_image"}) {
      (name == std::string("safe_text")     ? set.safe_text
       : name == std::string("safe_image")  ? set.safe_image
       : name == std::string("unsafe_text") ? set.unsafe_text
                                            : set.unsafe_image) = file.tensor(name);
    }
  }

  static void expect_percent(const OutcomeTable& table, const std::string& path, double wanted) {
    for (const OutcomeColumn& column : table.columns) {
      if (join(column.keys, ".") != path) continue;
      EXPECT_NEAR(percent_of(column), wanted, kTolerance) << path;
      const double off = std::abs(percent_of(column) - wanted);
      RecordProperty(path, std::to_string(off * 1e15) + "e-15");
      return;
    }
    ADD_FAILURE() << "no column " << path;
  }

  static void expect_retrieval(const SplitOutcomes& measured, const nlohmann::json& wanted_of) {
    for (const auto& [task, wanted] : wanted_of["retrieval"].items()) {
      EXPECT_EQ(measured.tasks.at(task).n, wanted["n"]) << task;
      EXPECT_EQ(measured.tasks.at(task).gallery, wanted["gallery"]) << task;
      EXPECT_EQ(measured.tasks.at(task).ties, wanted["ties"]) << task;
      for (const auto& [k, percent] : wanted["recall"].items()) {
        expect_percent(measured.table, cat("retrieval.", task, ".r@", k), percent);
      }
    }
    for (const auto& [name, task] :
         {std::pair("text", kUnsafeTextUnion), std::pair("image", kUnsafeImageUnion),
          std::pair("safe_text", kSafeTextUnion), std::pair("safe_image", kSafeImageUnion)}) {
      expect_percent(measured.table, cat("unsafe_top1.", name),
                     wanted_of["retrieval"][task]["top_unsafe"]);
    }
    for (const auto& [side, tags] : wanted_of["by_tag"].items()) {
      for (const auto& [tag, percent] : tags.items()) {
        expect_percent(measured.table, cat("by_tag.", tag, ".unsafe_top1.", side), percent);
      }
    }
  }

  // The row of the first that shows the same picture.
  static at::Tensor first_of_each(const at::Tensor& rows,
                                  const std::vector<std::int64_t>& picture) {
    std::vector<std::int64_t> first;
    for (const std::int64_t number : picture) {
      first.push_back(std::find(picture.begin(), picture.end(), number) - picture.begin());
    }
    return rows.index_select(0, at::tensor(first, at::kLong));
  }

  const std::string folder = std::string(SAFERCLIP_FIXTURES) + "/eval/";
  const nlohmann::json expected = nlohmann::json::parse(read_file(folder + "expected.json"));
  const SafetensorsFile file = SafetensorsFile::open(folder + "embeddings.safetensors");
  EmbeddingSet set;
};

TEST_F(MetricsParity, RetrievalSafeGroundAndTags) {
  const SplitOutcomes measured = measure_split(set, {1, 5, 10, 100});
  expect_retrieval(measured, expected);
  for (const auto& [name, percent] : expected["safeground"].items()) {
    expect_percent(measured.table, "safeground." + name, percent);
  }
}

// Rows that show one picture: it stands in a gallery once, asks once, and any of its captions
// counts.
TEST_F(MetricsParity, SharedPictures) {
  const auto& shared = expected["shared"];
  set.safe_picture = shared["safe_picture"].get<std::vector<std::int64_t>>();
  set.unsafe_picture = shared["unsafe_picture"].get<std::vector<std::int64_t>>();
  set.safe_image = first_of_each(set.safe_image, set.safe_picture);
  set.unsafe_image = first_of_each(set.unsafe_image, set.unsafe_picture);
  const SplitOutcomes measured = measure_split(set, {1, 5, 10, 100});
  expect_retrieval(measured, shared);
  const std::vector<Interval> intervals = bootstrap_intervals(measured.table, 200, 1);
  for (const auto& [side, wanted] : shared["intervals"].items()) {
    for (std::size_t i = 0; i < intervals.size(); ++i) {
      if (join(measured.table.columns[i].keys, ".") != "unsafe_top1." + side) continue;
      EXPECT_NEAR(intervals[i].low, wanted[0].get<double>(), kTolerance) << side;
      EXPECT_NEAR(intervals[i].high, wanted[1].get<double>(), kTolerance) << side;
    }
  }
}

TEST_F(MetricsParity, ZeroShot) {
  const auto& z = expected["zero_shot"];
  const OutcomeTable table = measure_zero_shot(set.safe_image, file.tensor("classes"),
                                               z["labels"].get<std::vector<std::int64_t>>(),
                                               z["groups"].get<std::vector<std::string>>());
  EXPECT_EQ(table.columns.size(), z["expected"].size());
  for (const auto& [path, percent] : z["expected"].items()) expect_percent(table, path, percent);
}

TEST_F(MetricsParity, EmbeddingSpace) {
  for (const auto& [name, wanted] : expected["space"].items()) {
    const EmbeddingSpace space = measure_space(file.tensor(name));
    EXPECT_NEAR(space.mean_cosine, wanted["mean_cosine"].get<double>(), kTolerance) << name;
    EXPECT_NEAR(space.effective_rank, wanted["effective_rank"].get<double>(), kTolerance) << name;
    EXPECT_NEAR(space.spread, wanted["spread"].get<double>(), kTolerance) << name;
  }
  EXPECT_EQ(expected["neighbours"].size(), 4U);
  for (const auto& wanted : expected["neighbours"]) {
    const auto rows = [&](const char* side) {
      return file.tensor(wanted[side].get<std::string>());
    };
    EXPECT_NEAR(neighbour_jaccard(rows("before"), rows("after"), wanted["k"]),
                wanted["jaccard"].get<double>(), kTolerance)
        << wanted;
  }
}

TEST_F(MetricsParity, BootstrapOverRowsAndPairs) {
  for (const bool with_pairs : {false, true}) {
    if (with_pairs) {
      for (const int pair : expected["pairs"]) set.pair.push_back(std::to_string(pair));
    }
    const OutcomeTable table = measure_split(set, {1}).table;
    const std::vector<Interval> intervals = bootstrap_intervals(table, 200, 1);
    for (std::size_t i = 0; i < table.columns.size(); ++i) {
      if (join(table.columns[i].keys, ".") != "unsafe_top1.text") continue;
      const auto& wanted = expected["intervals"][with_pairs ? "pairs" : "rows"];
      EXPECT_NEAR(intervals[i].low, wanted[0].get<double>(), kTolerance) << with_pairs;
      EXPECT_NEAR(intervals[i].high, wanted[1].get<double>(), kTolerance) << with_pairs;
    }
  }
}

}  // namespace
}  // namespace saferclip
