// Batches that a real run meets seldom and must survive: losses and gradients stay finite, and the
// gradients are those of the losses.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "saferclip/objective/lorentz.h"
#include "saferclip/objective/loss_set.h"

namespace saferclip {
namespace {

struct Objective {
  std::string name;
  ObjectiveOptions options;
};

// The published terms, ours in each of their forms, and the other objectives.
std::vector<Objective> objectives() {
  std::vector<Objective> all;
  for (const ObjectiveName name :
       {ObjectiveName::kSaferClip, ObjectiveName::kSafeClip, ObjectiveName::kShieldClip,
        ObjectiveName::kClip, ObjectiveName::kSiglip, ObjectiveName::kHysac})
    all.push_back({to_string(name), ObjectiveOptions::preset(name)});
  for (const bool is_first : {true, false}) {
    ObjectiveOptions o = ObjectiveOptions::preset(ObjectiveName::kSaferClip);
    for (const std::string& term : ObjectiveOptions::term_names(ObjectiveName::kSaferClip))
      o.weights[term] = 1;
    o.mutual_negatives = is_first ? MutualNegatives::kBatch : MutualNegatives::kOwn;
    o.pres_sim.form = is_first ? SimilarityForm::kDistribution : SimilarityForm::kNeighbours;
    o.pres_cross.form = is_first ? CrossPreservationForm::kSigmoid : CrossPreservationForm::kCosine;
    all.push_back({is_first ? "all terms, first forms" : "all terms, second forms", o});
  }
  return all;
}

struct Case {
  std::string name;
  LossInputs inputs;
  LossCounts counts;
  bool is_smooth = true;  // finite differences make sense
};

constexpr std::int64_t kWidth = 6;

std::vector<at::Tensor*> leaves(LossInputs& in) {
  return {&in.tuned.safe_text,    &in.tuned.safe_image, &in.tuned.unsafe_text,
          &in.tuned.unsafe_image, &in.anchor_text,      &in.anchor_image};
}

Case random_case(const std::string& name, std::int64_t rows, at::ScalarType type) {
  const auto draw = [&] { return at::randn({rows, kWidth}, type); };
  const auto n = static_cast<double>(rows);
  Case c{name, {}, {n, n, n, n, n}};
  for (at::Tensor* leaf : leaves(c.inputs)) *leaf = draw();
  c.inputs.reference = {draw(), draw(), draw(), draw()};
  c.inputs.target_text = draw();
  c.inputs.target_image = draw();
  c.inputs.reference_anchor_text = draw();
  c.inputs.reference_anchor_image = draw();
  c.inputs.logit_scale = at::full({}, 10.0, type);
  c.inputs.logit_bias = at::full({}, -3.0, type);
  const at::Tensor place = at::arange(rows, at::kLong).remainder(3);
  c.inputs.unsafe_caption_label = place.ne(1).to(type);
  c.inputs.unsafe_image_label = place.ne(2).to(type);
  c.inputs.lorentz = initial_lorentz_scalars(kWidth);
  return c;
}

std::vector<Case> cases(at::ScalarType type) {
  at::manual_seed(3);
  std::vector<Case> all{random_case("one row", 1, type)};
  Case same = random_case("identical captions", 4, type);
  for (at::Tensor* rows :
       {&same.inputs.tuned.safe_text, &same.inputs.tuned.unsafe_text,
        &same.inputs.reference.safe_text, &same.inputs.reference.unsafe_text,
        &same.inputs.target_text, &same.inputs.target_image, &same.inputs.anchor_text})
    *rows = rows->narrow(0, 0, 1).expand({4, kWidth}).clone();
  all.push_back(same);
  Case untouched = random_case("identical rows, nothing moved yet", 4, type);
  untouched.inputs.tuned = {same.inputs.tuned.safe_text, same.inputs.tuned.safe_text,
                            same.inputs.tuned.safe_text, same.inputs.tuned.safe_text};
  untouched.inputs.reference = untouched.inputs.tuned;
  untouched.inputs.target_text = untouched.inputs.target_image = same.inputs.tuned.safe_text;
  all.push_back(untouched);
  Case bare = random_case("no unsafe picture", 3, type);
  bare.inputs.has_unsafe_image = at::zeros({3}, type);
  bare.inputs.reference.unsafe_image.zero_();
  bare.inputs.tuned.unsafe_image.zero_();
  bare.counts.redirected_rows_with_unsafe_image = 0;
  all.push_back(bare);
  Case kept = random_case("nothing redirected", 3, type);
  kept.inputs.is_redirected = at::zeros({3}, type);
  kept.counts.redirected_rows = kept.counts.redirected_rows_with_unsafe_image = 0;
  all.push_back(kept);
  Case zero = random_case("zero embeddings", 3, type);
  for (at::Tensor* leaf : leaves(zero.inputs)) leaf->select(0, 1).zero_();
  zero.is_smooth = false;
  all.push_back(zero);
  Case zeros = random_case("zero embeddings everywhere", 3, type);
  for (at::Tensor* leaf : leaves(zeros.inputs)) leaf->zero_();
  for (at::Tensor* rows : {&zeros.inputs.reference.safe_text, &zeros.inputs.reference.safe_image,
                           &zeros.inputs.target_text, &zeros.inputs.target_image})
    rows->zero_();
  zeros.is_smooth = false;
  all.push_back(zeros);
  for (Case& c : all) c.counts.labels = count_rows(c.inputs).labels;
  return all;
}

LossResult with_gradients(const ObjectiveOptions& options, LossInputs& in,
                          const LossCounts& counts) {
  for (at::Tensor* leaf : leaves(in)) *leaf = leaf->detach().clone().requires_grad_(true);
  LossResult result = compute_losses(options, in, counts);
  result.total.backward();
  return result;
}

// Central differences along a random direction of all leaves at once.
double difference_along(const Objective& objective, const LossInputs& in, const LossCounts& counts,
                        const std::vector<at::Tensor>& direction) {
  const double step = 1e-5;
  double values[2];
  for (const int side : {0, 1}) {
    LossInputs moved = in;
    const auto all = leaves(moved);
    for (std::size_t i = 0; i < all.size(); ++i)
      *all[i] = all[i]->detach() + direction[i] * (side == 0 ? -step : step);
    values[side] = compute_losses(objective.options, moved, counts).total.item<double>();
  }
  return (values[1] - values[0]) / (2 * step);
}

TEST(DegenerateBatch, GradientsAreThoseOfTheLosses) {
  for (const Objective& objective : objectives()) {
    for (Case& c : cases(at::kDouble)) {
      const LossResult result = with_gradients(objective.options, c.inputs, c.counts);
      EXPECT_TRUE(std::isfinite(result.total.item<double>())) << objective.name << ", " << c.name;
      if (!c.is_smooth) continue;
      std::vector<at::Tensor> direction;
      double expected = 0;
      for (const at::Tensor* leaf : leaves(c.inputs)) {
        direction.push_back(at::randn_like(*leaf));
        if (leaf->grad().defined())
          expected += (leaf->grad() * direction.back()).sum().item<double>();
      }
      EXPECT_NEAR(difference_along(objective, c.inputs, c.counts, direction), expected,
                  1e-6 * (1 + std::abs(expected)))
          << objective.name << ", " << c.name;
    }
  }
}

TEST(DegenerateBatch, Fp32StaysFinite) {
  for (const Objective& objective : objectives()) {
    for (Case& c : cases(at::kFloat)) {
      for (const LossTerm& term : with_gradients(objective.options, c.inputs, c.counts).terms) {
        EXPECT_TRUE(term.value.isfinite().item<bool>())
            << objective.name << ", " << c.name << ": " << term.name;
      }
      for (const at::Tensor* leaf : leaves(c.inputs)) {
        if (!leaf->grad().defined()) continue;
        EXPECT_TRUE(leaf->grad().isfinite().all().item<bool>()) << objective.name << ", " << c.name;
      }
    }
  }
}

// What can be said by hand: alone, a row has nothing to be told from; a zero row has cosine 0.
TEST(DegenerateBatch, ValuesByHand) {
  ObjectiveOptions o = ObjectiveOptions::preset(ObjectiveName::kClip);
  auto all = cases(at::kDouble);
  EXPECT_NEAR(with_gradients(o, all[0].inputs, all[0].counts).total.item<double>(), 0, 1e-12);
  for (const at::Tensor* leaf : {&all[0].inputs.tuned.safe_text, &all[0].inputs.tuned.safe_image})
    EXPECT_NEAR(leaf->grad().abs().max().item<double>(), 0, 1e-12);
  EXPECT_NEAR(with_gradients(o, all[2].inputs, all[2].counts).total.item<double>(), std::log(4.0),
              1e-12);
  Case& zeros = all.back();
  for (const LossTerm& term : with_gradients(ObjectiveOptions::preset(ObjectiveName::kSaferClip),
                                             zeros.inputs, zeros.counts)
                                  .terms) {
    const double expected = term.name.starts_with("cross_")        ? std::log(2.0)
                            : term.name.starts_with("pres_cross_") ? std::log(3.0)
                                                                   : 1;
    EXPECT_NEAR(term.value.item<double>(), expected, 1e-12) << term.name;
  }
}

}  // namespace
}  // namespace saferclip
