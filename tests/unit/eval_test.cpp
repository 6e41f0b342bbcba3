#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "saferclip/eval/measures.h"

namespace saferclip {
namespace {

using ::testing::ElementsAre;

TEST(Retrieval, HandMadeTies) {
  const at::Tensor gallery = at::tensor({1.0F, 0.0F, 0.0F, 1.0F, 1.0F, 0.0F}).view({3, 2});
  const at::Tensor queries = at::tensor({1.0F, 0.0F, 0.0F, 1.0F, 1.0F, 0.0F}).view({3, 2});
  const Ranks ranks = rank_relevant(queries, gallery, at::tensor({0, 1, 2}, at::kLong));
  EXPECT_THAT(ranks.rank, ElementsAre(1, 1, 2));
  EXPECT_THAT(ranks.is_tied, ElementsAre(true, false, true));
  const RecallResult recall = recall_at(ranks, {1, 2, 50});
  EXPECT_NEAR(recall.recall.at(1), 200.0 / 3, 1e-9);
  EXPECT_EQ(recall.recall.at(50), 100);
  EXPECT_EQ(recall.ties, 2);
  const at::Tensor top = top_items(queries, gallery);
  EXPECT_EQ(top[2].item<std::int64_t>(), 0);
}

TEST(Retrieval, ACollapsedModelScoresLikeChance) {
  const at::Tensor same = at::ones({8, 4}) / 2;
  EmbeddingSet set{same, same, same, same, std::vector<bool>(8, true), {}, {}};
  const auto outcomes = run_retrieval(set);
  EXPECT_NEAR(recall_of(outcomes.at("text_to_image"), {1}).recall[1], 100.0 / 8, 1e-9);
  EXPECT_EQ(measure_safeground(set).gs, 0);
}

TEST(Retrieval, OneRowAndNoUnsafeHalf) {
  EmbeddingSet set;
  set.safe_text = set.safe_image = at::ones({1, 1});
  set.has_unsafe_image = {false};
  const auto outcomes = run_retrieval(set);
  EXPECT_EQ(outcomes.size(), 2U);
  EXPECT_EQ(recall_of(outcomes.at("text_to_image"), {5}).recall[5], 100);
  EXPECT_EQ(measure_safeground(set).n, 0);
}

TEST(Retrieval, NotANumberIsNoHit) {
  at::Tensor broken = at::full({2, 2}, std::numeric_limits<float>::quiet_NaN());
  const Ranks ranks = rank_relevant(broken, at::ones({2, 2}), at::tensor({0, 1}, at::kLong));
  EXPECT_THAT(ranks.rank, ElementsAre(2, 2));
}

TEST(ZeroShot, GroupsAndTies) {
  const at::Tensor classes = at::tensor({1.0F, 0.0F, 1.0F, 0.0F, 0.0F, 1.0F}).view({3, 2});
  const at::Tensor images = at::tensor({1.0F, 0.0F, 0.0F, 1.0F, 1.0F, 0.0F}).view({3, 2});
  const ZeroShotResult result =
      measure_zero_shot(images, classes, {1, 2, 0}, {"safe", "unsafe", "unsafe"});
  EXPECT_NEAR(result.top1, 200.0 / 3, 1e-9);  // classes 0 and 1 are equal: the lower index wins
  EXPECT_EQ(result.groups.at("unsafe").n, 2);
  EXPECT_EQ(result.groups.at("unsafe").top1, 50);
  EXPECT_EQ(result.groups.at("unsafe").predicted.at("safe"), 50);
  EXPECT_EQ(result.groups.at("safe").top1, 100);
}

}  // namespace
}  // namespace saferclip
