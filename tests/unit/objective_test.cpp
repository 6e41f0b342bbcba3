#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "objective/pool_search.h"
#include "saferclip/core/error.h"
#include "saferclip/objective/curriculum.h"
#include "saferclip/objective/lorentz.h"
#include "saferclip/objective/loss_set.h"
#include "saferclip/objective/losses.h"
#include "saferclip/objective/nearest_safe.h"
#include "support/tensors.h"

namespace saferclip {
namespace {

using ::testing::ElementsAre;

LossInputs random_inputs(std::int64_t rows) {
  at::manual_seed(1);
  const auto draw = [&] { return at::randn({rows, 4}, at::kDouble); };
  LossInputs in;
  in.tuned = {draw().requires_grad_(true), draw().requires_grad_(true), draw().requires_grad_(true),
              draw().requires_grad_(true)};
  in.reference = {draw(), draw(), draw(), draw()};
  in.target_text = draw();
  in.target_image = draw();
  in.logit_scale = at::full({}, 10.0, at::kDouble);
  in.lorentz = initial_lorentz_scalars(4);
  return in;
}

TEST(Losses, RelativeLossIsLogTwoAtEqualCosines) {
  const at::Tensor q = at::randn({3, 4}, at::kDouble);
  const at::Tensor p = at::randn({3, 4}, at::kDouble);
  expect_close(relative_redirection(q, p, p, 1, 0), at::full({3}, std::log(2.0), at::kDouble),
               1e-12, "ln 2");
  // cos difference of ±2: the ends of its range.
  const at::Tensor a = at::tensor({1.0, 0.0}, at::kDouble).view({1, 2});
  EXPECT_NEAR(relative_redirection(a, a, -a, 1, 0).item<double>(), std::log1p(std::exp(2.0)),
              1e-12);
  EXPECT_NEAR(relative_redirection(a, -a, a, 1, 0).item<double>(), std::log1p(std::exp(-2.0)),
              1e-12);
}

TEST(Losses, PreservationIsZeroWhenNothingMoved) {
  LossInputs in = random_inputs(5);
  in.tuned = in.reference;
  ObjectiveOptions o = ObjectiveOptions::preset(ObjectiveName::kSaferClip);
  for (auto& [name, weight] : o.weights) weight = name.starts_with("pres_uni") ? 1 : 0;
  EXPECT_NEAR(compute_losses(o, in, {5, 5, 5, 0, 0}).total.item<double>(), 0, 1e-12);
}

// Of one term alone: how far each tuned embedding's gradient is from 0.
std::vector<double> gradient_sizes(ObjectiveName objective, const std::string& term,
                                   bool has_pictures) {
  LossInputs in = random_inputs(5);
  in.has_unsafe_image = at::full({5}, has_pictures ? 1.0 : 0.0, at::kDouble);
  // Nearer to each other than in the reference, so that there is spread to win back.
  in.tuned.for_each([](at::Tensor& rows) { rows = (rows.detach() + 2).requires_grad_(true); });
  ObjectiveOptions o = ObjectiveOptions::preset(objective);
  for (auto& [name, weight] : o.weights) weight = 0;
  o.weights[term] = 1;
  compute_losses(o, in, {5, 5, has_pictures ? 5.0 : 0.0, 0, 0}).total.backward();
  std::vector<double> sizes;
  for (const at::Tensor& rows :
       {in.tuned.safe_text, in.tuned.unsafe_text, in.tuned.safe_image, in.tuned.unsafe_image}) {
    sizes.push_back(rows.grad().defined() ? rows.grad().abs().sum().item<double>() : 0);
  }
  return sizes;
}

TEST(Losses, WhatATermCannotTrainIsKnown) {
  for (const ObjectiveName objective :
       {ObjectiveName::kSaferClip, ObjectiveName::kSafeClip, ObjectiveName::kHysac}) {
    ObjectiveOptions all = ObjectiveOptions::preset(objective);
    for (const std::string& term : ObjectiveOptions::term_names(objective)) all.weights[term] = 1;
    const auto pictures = terms_with_unsafe_images(all);
    const auto text = terms_of_one_tower(all, Sides::kText),
               vision = terms_of_one_tower(all, Sides::kImage);
    for (const std::string& term : ObjectiveOptions::term_names(objective)) {
      if (term.starts_with("anchor_")) continue;
      const auto with = gradient_sizes(objective, term, true);
      const auto without = gradient_sizes(objective, term, false);
      const bool is_idle = without == std::vector<double>(4, 0.0);
      EXPECT_EQ(testing::Value(pictures, testing::Contains(term)), is_idle) << term;
      EXPECT_EQ(testing::Value(text, testing::Contains(term)), with[2] + with[3] == 0) << term;
      EXPECT_EQ(testing::Value(vision, testing::Contains(term)), with[0] + with[1] == 0) << term;
    }
  }
}

// A row without anything to compare with has no structure to keep, and a gradient of 0.
TEST(Losses, SimilarityOfASingleRowIsZero) {
  at::Tensor x = at::randn({1, 4}, at::kDouble).requires_grad_(true);
  const at::Tensor reference = at::randn({1, 4}, at::kDouble);
  for (const at::Tensor& value :
       {similarity_distribution(x, reference, 20), similarity_to_neighbours(x, reference, 5)}) {
    EXPECT_EQ(value.sum().item<double>(), 0);
    value.sum().backward();
    EXPECT_EQ(x.grad().abs().sum().item<double>(), 0);
  }
}

TEST(Losses, NegativesFromTheBatchAreTheOwnOneWhenItIsAlone) {
  at::manual_seed(2);
  const at::Tensor q = at::randn({3, 4}, at::kDouble), n = at::randn({3, 4}, at::kDouble),
                   p = at::randn({3, 4}, at::kDouble);
  const at::Tensor only_second = at::tensor({0.0, 1.0, 0.0}, at::kDouble);
  expect_close(relative_redirection_from_all(q, n, p, 7, only_second)[1],
               relative_redirection(q, n, p, 7, 0)[1], 1e-12, "one negative");
}

// The total of Safe-CLIP's released code for these eight values: (1/8) Σ λ L / Σ λ.
TEST(Losses, SafeClipIsNormalisedAsReleased) {
  const LossInputs in = random_inputs(4);
  const LossResult result =
      compute_losses(ObjectiveOptions::preset(ObjectiveName::kSafeClip), in, {4, 4, 4, 0, 0});
  const std::vector<double> lambdas{0.1, 0.1, 0.1, 0.2, 0.25, 0.25, 0.25, 0.5};
  ASSERT_EQ(result.terms.size(), lambdas.size());
  double sum = 0;
  for (std::size_t i = 0; i < lambdas.size(); ++i) {
    EXPECT_EQ(result.terms[i].weight, lambdas[i]) << result.terms[i].name;
    sum += lambdas[i] * result.terms[i].value.item<double>();
  }
  EXPECT_NEAR(result.total.item<double>(), sum / 1.75 / 8, 1e-12);
}

TEST(Losses, MicroBatchesAddUpToTheBatch) {
  LossInputs in = random_inputs(6);
  in.has_unsafe_image = at::tensor({1.0, 0.0, 1.0, 1.0, 1.0, 0.0}, at::kDouble);
  in.is_redirected = at::tensor({1.0, 1.0, 0.0, 1.0, 1.0, 1.0}, at::kDouble);
  const LossCounts counts{6, 5, 3, 0, 0};
  ObjectiveOptions o = ObjectiveOptions::preset(ObjectiveName::kSaferClip);
  o.weights["pres_cross_img"] = o.weights["pres_cross_txt"] = 0;
  o.weights["mutual_txt"] = o.weights["mutual_img"] = 1;
  const at::Tensor whole = compute_losses(o, in, counts).total.detach();
  for (const std::int64_t size : {3, 2, 1}) {
    at::Tensor sum = at::zeros({}, at::kDouble);
    for (std::int64_t begin = 0; begin < 6; begin += size)
      sum = sum + compute_losses(o, narrow_rows(in, begin, size), counts).total.detach();
    expect_close(sum, whole, 1e-12, "micro-batches of " + std::to_string(size));
  }
}

// The validation loss of the public code depends on the batch size; ours does not, but for what
// InfoNCE takes as negatives.
TEST(Losses, MeanOverBlocksDoesNotDependOnTheBlock) {
  LossInputs in = random_inputs(6);
  in.has_unsafe_image = at::tensor({1.0, 0.0, 1.0, 1.0, 1.0, 0.0}, at::kDouble);
  ObjectiveOptions o = ObjectiveOptions::preset(ObjectiveName::kSafeClip);
  for (auto& [name, weight] : o.weights) weight = name.find("_uni_") == std::string::npos ? 0 : 1;
  const MeanLosses whole = measure_losses(o, in, 6);
  EXPECT_NEAR(whole.total, compute_losses(o, in, {6, 6, 4, 0, 0}).total.item<double>(), 1e-12);
  for (const std::int64_t block : {1, 4, 7}) {
    EXPECT_NEAR(measure_losses(o, in, block).total, whole.total, 1e-12) << block;
  }
}

TEST(Losses, RowsWithoutUnsafePictureHaveNoInfluence) {
  LossInputs in = random_inputs(4);
  in.has_unsafe_image = at::tensor({1.0, 0.0, 1.0, 0.0}, at::kDouble);
  ObjectiveOptions o = ObjectiveOptions::preset(ObjectiveName::kSaferClip);
  o.weights["mutual_txt"] = o.weights["mutual_img"] = 1;
  const LossCounts counts{4, 4, 2, 0, 0};
  const at::Tensor clean = compute_losses(o, in, counts).total.detach();
  const double nan = std::numeric_limits<double>::quiet_NaN();
  at::Tensor garbage = in.tuned.unsafe_image.detach().clone();
  garbage[1].fill_(nan);
  garbage[3].fill_(0);
  in.tuned.unsafe_image = garbage.requires_grad_(true);
  in.reference.unsafe_image[1].fill_(nan);
  const LossResult dirty = compute_losses(o, in, counts);
  expect_close(dirty.total.detach(), clean, 0, "total");
  dirty.total.backward();
  EXPECT_TRUE(garbage.grad().isfinite().all().item<bool>());
  EXPECT_EQ(garbage.grad()[1].abs().sum().item<double>(), 0);
  EXPECT_EQ(garbage.grad()[3].abs().sum().item<double>(), 0);
}

TEST(Losses, NormaliseAndOff) {
  const LossInputs in = random_inputs(3);
  const LossCounts counts{3, 3, 3, 0, 0};
  ObjectiveOptions o = ObjectiveOptions::preset(ObjectiveName::kSaferClip);
  const double plain = compute_losses(o, in, counts).total.item<double>();
  o.normalise = Normalization::kBySumAndCount;
  EXPECT_NEAR(compute_losses(o, in, counts).total.item<double>(), plain / 64, 1e-12);
  o.cross.sides = Sides::kImage;
  o.uni.form = o.pres_uni.form = TermForm::kOff;
  o.pres_cross.form = CrossPreservationForm::kOff;
  const LossResult one = compute_losses(o, in, counts);
  ASSERT_EQ(one.terms.size(), 1U);
  EXPECT_EQ(one.terms[0].name, "cross_img");
  o.cross.sides = Sides::kText;
  o.weights["cross_txt"] = 0;
  EXPECT_THROW(compute_losses(o, in, counts), ConfigError);
}

at::Tensor unit_rows(std::int64_t rows, std::int64_t width) {
  return normalise_rows(at::randn({rows, width}));
}

// Rows whose own safe captions are rows of the pool.
NearestTargets find_in_pool(const at::Tensor& queries, const at::Tensor& pool,
                            const at::Tensor& own, const TargetsOptions& options) {
  return find_nearest_safe(queries, pool.index_select(0, own), pool, own, options);
}

TEST(NearestSafe, EqualsBruteForceWithTies) {
  at::manual_seed(5);
  at::Tensor pool = unit_rows(300, 8);
  pool[250].copy_(pool[20]);  // equal captions have equal bits
  pool[20 + 1].copy_(pool[20]);
  const at::Tensor queries = at::cat({pool.narrow(0, 20, 1), unit_rows(40, 8)});
  const at::Tensor own = at::arange(queries.size(0), at::kLong);
  const NearestTargets found = find_in_pool(queries, pool, own, {});
  const at::Tensor scores = at::mm(queries.to(at::kDouble), pool.to(at::kDouble).t());
  for (std::int64_t i = 0; i < queries.size(0); ++i) {
    const at::Tensor best = scores[i].eq(scores[i].max()).nonzero()[0];
    EXPECT_EQ(found.index[i].item<std::int64_t>(), best.item<std::int64_t>()) << i;
    EXPECT_NEAR(found.fixed_cosine[i].item<double>(), scores[i][i].item<double>(), 1e-6);
  }
  EXPECT_EQ(found.index[0].item<std::int64_t>(), 20);
}

TEST(NearestSafe, PermutingThePoolChangesIndicesOnly) {
  at::manual_seed(6);
  const at::Tensor pool = unit_rows(50, 6);
  const at::Tensor queries = unit_rows(50, 6);
  const at::Tensor order = at::randperm(50, at::kLong);
  const at::Tensor own = at::arange(50, at::kLong);
  const NearestTargets plain = find_in_pool(queries, pool, own, {});
  const NearestTargets mixed =
      find_in_pool(queries, pool.index_select(0, order), own.index_select(0, order.argsort()), {});
  EXPECT_TRUE(at::equal(order.index_select(0, mixed.index), plain.index));
  EXPECT_TRUE(at::equal(mixed.cosine, plain.cosine));
  EXPECT_TRUE(at::equal(mixed.fixed_cosine, plain.fixed_cosine));
}

TEST(NearestSafe, Options) {
  const at::Tensor pool = at::tensor({1.0F, 0.0F, 0.0F, 1.0F, 1.0F, 0.0F}).view({3, 2});
  const at::Tensor query = at::tensor({1.0F, 0.0F}).view({1, 2});
  const auto index = [&](std::int64_t own, const TargetsOptions& o) {
    return find_in_pool(query, pool, at::tensor({own}, at::kLong), o).index.item<std::int64_t>();
  };
  TargetsOptions o;
  EXPECT_EQ(index(2, o), 0);
  o.allow_self = false;
  EXPECT_EQ(index(0, o), 2);
  o.dedup = true;
  EXPECT_EQ(index(0, o), 1);  // row 2 stands for row 0, which is the row's own
  o = {};
  o.mode = TargetMode::kFixed;
  EXPECT_EQ(index(1, o), 1);
  o = {};
  o.min_similarity = 1.0;
  EXPECT_EQ(index(1, o), 0);
  const at::Tensor far = at::tensor({0.7F, 0.714F}).view({1, 2});
  EXPECT_EQ(find_in_pool(far, pool, at::tensor({2}, at::kLong), o).index.item<std::int64_t>(), 2);
}

// Validation rows look for targets among the training captions, where their own partner is not.
TEST(NearestSafe, PartnerOutsideThePool) {
  const at::Tensor pool = at::tensor({1.0F, 0.0F}).view({1, 2});
  const at::Tensor query = at::tensor({0.0F, 1.0F, 1.0F, 0.0F}).view({2, 2});
  const at::Tensor partner = at::tensor({0.0F, 1.0F, 0.6F, 0.8F}).view({2, 2});
  const at::Tensor none = at::full({2}, -1, at::kLong);
  TargetsOptions o;
  o.min_similarity = 0.5;
  const NearestTargets found = find_nearest_safe(query, partner, pool, none, o);
  EXPECT_EQ(found.index[0].item<std::int64_t>(), -1);
  EXPECT_EQ(found.cosine[0].item<float>(), 1.0F);
  EXPECT_EQ(found.index[1].item<std::int64_t>(), 0);
  EXPECT_FLOAT_EQ(found.fixed_cosine[1].item<float>(), 0.6F);
}

// Rows close to each other, as captions are; several tiles of the pool, the last one not full.
at::Tensor close_rows(std::int64_t rows, const at::Tensor& around) {
  const at::Tensor x = around + 0.3 * unit_rows(rows, around.size(0));
  return x / x.norm(2, {1}, true);
}

TEST(PoolSearch, Bf16ScoresFindWhatFloat64Does) {
  at::manual_seed(7);
  const at::Tensor around = unit_rows(1, 100)[0];
  const at::Tensor pool = close_rows(9000, around), queries = close_rows(64, around);
  pool[8999].copy_(queries[0]);
  pool[4096].copy_(queries[1]);
  pool[8000].copy_(queries[1]);
  const at::Tensor own = at::full({64}, -1, at::kLong);
  const at::Tensor best = at::mm(queries.to(at::kDouble), pool.to(at::kDouble).t()).argmax(1);
  for (const at::ScalarType scores : {at::kFloat, at::kBFloat16}) {
    PoolSearch search(queries, pool, own, {}, scores);
    const std::vector<PoolRow> found = search.best_of(0, 64);
    for (std::int64_t i = 0; i < 64; ++i) {
      const PoolRow& row = found[static_cast<std::size_t>(i)];
      EXPECT_EQ(row.index, i == 1 ? 4096 : best[i].item<std::int64_t>()) << scores << ' ' << i;
      EXPECT_NEAR(row.cosine, (queries[i] * pool[row.index]).sum().item<double>(), 1e-6);
    }
  }
}

TEST(PoolSearch, RowsOutOfReachAreNeverChosen) {
  at::manual_seed(8);
  const at::Tensor pool = unit_rows(5000, 16);
  pool[4500].copy_(pool[7]);
  TargetsOptions o;
  o.allow_self = false;
  o.dedup = true;
  for (const at::ScalarType scores : {at::kFloat, at::kBFloat16}) {
    const PoolRow found =
        PoolSearch(pool, pool, at::arange(5000, at::kLong), o, scores).best_of(7, 1)[0];
    EXPECT_NE(found.index, 7);     // itself
    EXPECT_NE(found.index, 4500);  // stands for row 7
    EXPECT_GE(found.index, 0);
  }
}

TEST(PoolSearch, TakesFp32WhereBf16CannotTellRowsApart) {
  at::manual_seed(9);
  at::Tensor pool = unit_rows(1, 64) + 1e-4 * unit_rows(2000, 64);
  pool = pool / pool.norm(2, {1}, true);
  const at::Tensor queries = unit_rows(2, 64);
  PoolSearch search(queries, pool, at::full({2}, -1, at::kLong), {}, at::kBFloat16);
  search.best_of(0, 1);
  EXPECT_EQ(search.scores(), at::kFloat);
  const at::Tensor best = at::mv(pool.to(at::kDouble), queries[1].to(at::kDouble)).argmax();
  EXPECT_EQ(search.best_of(1, 1)[0].index, best.item<std::int64_t>());
}

TEST(Curriculum, StagesAreTheQuantileSets) {
  const at::Tensor cosine = at::tensor({0.1F, 0.9F, 0.5F, 0.5F, 0.7F, 0.2F, 0.3F});
  CurriculumOptions o;
  EXPECT_THAT(curriculum_stages(cosine, o), ElementsAre(2, 0, 1, 1, 0, 2, 2));
  EXPECT_TRUE(is_admitted(0, 0, o));
  EXPECT_FALSE(is_admitted(1, 0, o));
  EXPECT_TRUE(is_admitted(1, 1, o));
  EXPECT_FALSE(is_admitted(2, 1, o));
  EXPECT_TRUE(is_admitted(2, 5, o));
  EXPECT_FALSE(is_admitted(-1, 5, o));
  o.thresholds = {0.6, 0.3};
  EXPECT_THAT(curriculum_stages(cosine, o), ElementsAre(2, 0, 1, 1, 0, 2, 1));
  o.enabled = false;
  EXPECT_THAT(curriculum_stages(cosine, o), ElementsAre(0, 0, 0, 0, 0, 0, 0));
}

}  // namespace
}  // namespace saferclip
