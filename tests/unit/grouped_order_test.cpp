// Epochs in which neighbors share a batch.
#include "data/grouped_order.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <set>

#include "saferclip/core/rng.h"
#include "saferclip/data/sampler.h"

namespace saferclip {
namespace {

using ::testing::ElementsAre;

TEST(GroupedOrder, GroupsFillBatches) {
  const NeighbourLists lists{{1, 2}, {0}, {}, {4}, {3}, {}};
  EXPECT_THAT(grouped_order({0, 3, 5, 2, 1, 4}, lists, 3), ElementsAre(0, 1, 2, 3, 4, 5));
  // The pair does not fit behind the three; the single row does.
  EXPECT_THAT(grouped_order({0, 3, 5, 2, 1, 4}, lists, 4), ElementsAre(0, 1, 2, 5, 3, 4));
  // Nothing else fills the batch: the last pair is cut.
  EXPECT_THAT(grouped_order({0, 3}, {{1}, {}, {}, {4}, {}}, 3), ElementsAre(0, 3));
  EXPECT_THAT(grouped_order({0, 1, 3, 4}, {{1}, {0}, {}, {4}, {3}}, 3), ElementsAre(0, 1, 3, 4));
  // A group may be larger than a batch.
  EXPECT_THAT(grouped_order({0, 1, 2}, {{1, 2}, {}, {}}, 2), ElementsAre(0, 1, 2));
}

// 300 rows in groups of up to six, of which an epoch admits two thirds.
TEST(GroupedOrder, EachRowOnceAndGroupsTogether) {
  constexpr std::int64_t kBatch = 20;
  NeighbourLists lists(300);
  for (std::int64_t row = 0; row < 300; ++row) {
    const std::int64_t first = row / 6 * 6;
    for (std::int64_t other = first; other < first + 6 && first < 240; ++other) {
      if (other != row) lists[static_cast<std::size_t>(row)].push_back(other);
    }
  }
  std::vector<std::int64_t> order;
  for (const std::int64_t row : random_permutation(300, 9)) {
    if (row % 3 != 0) order.push_back(row);
  }
  const auto grouped = grouped_order(order, lists, kBatch);
  EXPECT_NE(grouped, order);
  EXPECT_EQ(grouped, grouped_order(order, lists, kBatch));
  EXPECT_EQ(std::multiset(grouped.begin(), grouped.end()),
            std::multiset(order.begin(), order.end()));
  std::int64_t apart = 0;
  std::vector<std::int64_t> batch_of(300, -1);
  for (std::size_t i = 0; i < grouped.size(); ++i) {
    batch_of[static_cast<std::size_t>(grouped[i])] = static_cast<std::int64_t>(i) / kBatch;
  }
  for (const std::int64_t row : order) {
    for (const std::int64_t other : lists[static_cast<std::size_t>(row)]) {
      const std::int64_t batch = batch_of[static_cast<std::size_t>(other)];
      if (batch >= 0 && batch != batch_of[static_cast<std::size_t>(row)]) ++apart;
    }
  }
  EXPECT_EQ(apart, 0);
}

TEST(GroupedOrder, SamplerIsSeekable) {
  const auto lists = std::make_shared<const NeighbourLists>(
      NeighbourLists{{5}, {6, 7}, {}, {}, {}, {0}, {1, 7}, {1, 6}, {}, {}});
  const auto admitted = [](std::int64_t epoch) {
    std::vector<std::int64_t> rows(epoch == 0 ? 6 : 10);
    std::iota(rows.begin(), rows.end(), 0);
    return rows;
  };
  const Sampler sampler({3, false, 11}, admitted, lists), other({3, false, 11}, admitted, lists);
  std::vector<std::vector<std::int64_t>> steps;
  for (std::int64_t step = 0; step < 14; ++step) steps.push_back(sampler.rows_of(step));
  for (std::int64_t step = 13; step >= 0; --step) {
    EXPECT_EQ(other.rows_of(step), steps[static_cast<std::size_t>(step)]) << step;
  }
  for (const auto& [begin, end, rows] :
       {std::tuple(0, 2, 6), std::tuple(2, 6, 10), std::tuple(6, 10, 10)}) {
    std::set<std::int64_t> seen;
    for (int step = begin; step < end; ++step) {
      const auto& batch = steps[static_cast<std::size_t>(step)];
      seen.insert(batch.begin(), batch.end());
      EXPECT_EQ(std::ranges::count(batch, 0), std::ranges::count(batch, 5)) << step;
    }
    EXPECT_EQ(seen.size(), static_cast<std::size_t>(rows));
  }
  EXPECT_NE(steps[2], steps[6]);
}

}  // namespace
}  // namespace saferclip
