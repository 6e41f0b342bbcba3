// Gradient dropout of masks: the probability, the draws, the loss whose gradient it asks, the step.
// Golden values are PyTorch's, in float64, from inputs sin(0.7 i + 1.3 j + p).
#include "saferclip/nn/gradient_dropout.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include "saferclip/core/rng.h"
#include "saferclip/objective/general_knowledge.h"
#include "saferclip/train/step.h"
#include "support/operators.h"
#include "support/tiny_batch.h"
#include "support/tiny_model.h"

namespace saferclip {
namespace {

at::Tensor number(double value) { return at::full({}, value, at::kDouble); }

double probability(double a, double b, double eps = 1e-8) {
  return keep_probability(number(a), number(b), eps).item<double>();
}

TEST(GradientDropoutElements, HaveThePublishedProbability) {
  EXPECT_NEAR(probability(0.7, 0.3), 0.999999995, 1e-15);
  EXPECT_NEAR(probability(0.2, -0.6), 0.250000003125, 1e-15);
  EXPECT_NEAR(probability(-0.2, 0.6), 0.250000003125, 1e-15);
  EXPECT_NEAR(probability(0.5, 0), 0.99999999, 1e-15);
  EXPECT_NEAR(probability(0, 0.5), 0.5, 1e-15);
  EXPECT_NEAR(probability(3e-8, 1e-8), 0.9, 1e-12);
  EXPECT_NEAR(probability(3e-8, -1e-8), 0.7, 1e-12);
  EXPECT_EQ(probability(0.3, -0.1, 0), 0.75);
  EXPECT_EQ(probability(1e-12, 0, 0), 1);
}

TEST(GradientDropoutElements, DrawsAreThoseOfSplitMix64) {
  const at::Tensor drawn = counted_uniform(42, at::empty({1, 5}));
  EXPECT_TRUE(
      at::equal(drawn.mul(0x1p24).to(at::kLong),
                at::tensor({12441394, 2682851, 4674151, 5774561, 638040}, at::kLong).view({1, 5})));
  const at::Tensor last = counted_uniform(~std::uint64_t{0} - 5, at::empty({5}, at::kDouble));
  EXPECT_EQ(last[0].item<double>() * 0x1p24, 15268152);
  const at::Tensor many = counted_uniform(7, at::empty({1000, 1000}));
  EXPECT_NEAR(many.mean().item<double>(), 0.5, 2e-3);
  EXPECT_LT(many.max().item<double>(), 1);
  const int threads = at::get_num_threads();
  at::set_num_threads(threads == 1 ? 2 : 1);
  EXPECT_TRUE(at::equal(many, counted_uniform(7, at::empty({1000, 1000}))));
  at::set_num_threads(threads);
}

TEST(GradientDropoutElements, KeepTheirMean) {
  for (const double lambda : {1.0, 0.3, 0.0}) {
    at::Tensor a = at::full({1000, 1000}, 0.2, at::kDouble);
    drop_gradient_(a, at::full({1000, 1000}, -0.6, at::kDouble), {lambda, 1e-8}, 3);
    EXPECT_NEAR(a.mean().item<double>(), 0.2 * (1 - lambda + lambda * 0.25), 1e-3);
    EXPECT_EQ(a.eq(0.2).logical_or(a.eq(0.2 * (1 - lambda))).all().item<bool>(), true);
  }
  // Nothing is dropped where the other gradient is 0, as at the start of a run.
  const at::Tensor before = at::randn({100, 100});
  at::Tensor a = before.clone();
  drop_gradient_(a, at::zeros_like(a), {1, 0}, 3);
  EXPECT_TRUE(at::equal(a, before));
}

at::Tensor golden(double p) {
  const at::Tensor i = at::arange(4, at::kDouble).view({4, 1}) * 0.7;
  return (i + at::arange(5, at::kDouble).view({1, 5}) * 1.3 + p).sin();
}

void expect_values(const at::Tensor& found, const std::vector<double>& expected) {
  EXPECT_LT(largest_difference(found, at::tensor(expected, at::kDouble)), 1e-11);
}

TEST(GeneralKnowledgeLoss, EqualsPyTorchInFloat64) {
  EmbeddingRows tuned, reference;
  tuned.safe_image = golden(0).requires_grad_();
  tuned.safe_text = golden(1).requires_grad_();
  reference.safe_image = golden(2);
  reference.safe_text = golden(3);
  const at::Tensor scale = number(10);
  expect_values(partner_divergence(tuned, reference, scale, 2),
                {22.837993077490, 17.388995718975, 15.891979986995, 16.129486461087});
  const at::Tensor rows = partner_divergence(tuned, reference, scale, 1);
  expect_values(rows, {11.395384170386, 8.297646421985, 7.781858693032, 7.803849585838});
  rows.mean().backward();
  expect_values(tuned.safe_image.grad()[1],
                {-0.623192863098, 0.354172809840, 0.812674486624, 0.080606136610, -0.769550392378});
  expect_values(tuned.safe_text.grad()[2], {0.351019006620, 0.418601498345, -0.127068185684,
                                            -0.486582679997, -0.133252408172});
}

TEST(GeneralKnowledgeLoss, HasNoGradientAtTheStart) {
  EmbeddingRows reference;
  reference.safe_image = golden(2);
  reference.safe_text = golden(3);
  EmbeddingRows tuned;
  tuned.safe_image = golden(2).requires_grad_();
  tuned.safe_text = golden(3).requires_grad_();
  partner_divergence(tuned, reference, number(100), 1).mean().backward();
  EXPECT_LT(tuned.safe_image.grad().abs().max().item<double>(), 1e-13);
  EXPECT_LT(tuned.safe_text.grad().abs().max().item<double>(), 1e-13);
}

TEST(GeneralKnowledgeLoss, PreservationKeepsTheWeightsOfTheWhole) {
  ObjectiveOptions o = ObjectiveOptions::preset(ObjectiveName::kSaferClip);
  o.weights["pres_uni_txt"] = 3;
  o.weights["pres_cet_txt"] = 2;
  o.pres_cet.over = JointAnswer::kTarget;
  o.pres_cross.form = CrossPreservationForm::kOff;
  o.normalise = Normalization::kBySum;  // over 3 + 1 + 4 redirection terms + 2
  const ObjectiveOptions part = preservation_part(o);
  EXPECT_EQ(part.normalise, Normalization::kNone);
  EXPECT_DOUBLE_EQ(part.weights.at("pres_uni_txt"), 0.3);
  EXPECT_DOUBLE_EQ(part.weights.at("pres_uni_img"), 0.1);
  for (const char* term : {"cross_img", "uni_txt", "pres_cross_img", "pres_cet_txt"}) {
    EXPECT_EQ(part.weights.at(term), 0) << term;
  }
  EXPECT_TRUE(has_terms(part));
  o.weights["pres_uni_txt"] = o.weights["pres_uni_img"] = 0;
  EXPECT_FALSE(has_terms(preservation_part(o)));
}

class GradientDropoutStep : public TinyModel {
 protected:
  GradientDropoutStep() {
    adapter_ = AdapterOptions::preset(AdapterMethod::kMask);
    model_ = load_clip(source_);
    parameters_ = make_trainable(model_, {}, adapter_, 7);
    at::manual_seed(5);
    for (const TrainedParameter& p : parameters_) p.tensor.detach().normal_(0.02, 0.01);
    options_.objective = ObjectiveOptions::preset(ObjectiveName::kSaferClip);
    options_.preprocessing = source_.preprocessing;
  }
  std::vector<at::Tensor> gradients(const StepOptions& options) {
    Optimizer optimizer({}, parameters_);
    numbers_ = train_step(model_, optimizer, tiny_batch(5, source_.geometry), options, 0.0);
    std::vector<at::Tensor> all;
    for (const TrainedParameter& p : parameters_) all.push_back(p.tensor.grad());
    return all;
  }
  // With the dropout of `adapter_`.
  std::vector<at::Tensor> dropped(StepOptions options) {
    const MaskTraining masks(parameters_, adapter_, options.objective, 11);
    options.masks = &masks;
    return gradients(options);
  }
  // What a step drops from `all` with the gradients `general`.
  void expect_dropped(const std::vector<at::Tensor>& found, const std::vector<at::Tensor>& all,
                      const std::vector<at::Tensor>& general) {
    std::int64_t changed = 0;
    for (std::size_t i = 0; i < found.size(); ++i) {
      const at::Tensor kept = found[i].eq(all[i]), zero = found[i].eq(0);
      EXPECT_TRUE(kept.logical_or(zero).all().item<bool>());
      const at::Tensor agree = keep_probability(all[i], general[i], 1e-8).gt(0.9999999);
      EXPECT_TRUE(kept.logical_or(agree.logical_not()).all().item<bool>());
      changed += kept.logical_not().sum().item<std::int64_t>();
    }
    EXPECT_GT(changed, 20);
  }
  StepOptions options_;
  StepNumbers numbers_;
};

TEST_F(GradientDropoutStep, DropsWhatOpposesTheObjectivesOwnPreservation) {
  adapter_.gradient_dropout.general = GeneralKnowledge::kPreserve;
  const std::vector<at::Tensor> all = gradients(options_);
  const std::vector<at::Tensor> found = dropped(options_);
  StepOptions part = options_;
  part.objective = preservation_part(options_.objective);
  expect_dropped(found, all, gradients(part));
  // A function of seed and step alone.
  const std::vector<at::Tensor> again = dropped(options_);
  for (std::size_t i = 0; i < found.size(); ++i) EXPECT_TRUE(at::equal(found[i], again[i]));
}

TEST_F(GradientDropoutStep, DropsWhatOpposesTheReference) {
  const std::vector<at::Tensor> all = gradients(options_);
  const double loss = numbers_.loss.item<double>();
  const std::vector<at::Tensor> found = dropped(options_);
  EXPECT_EQ(numbers_.loss.item<double>(), loss);
  EXPECT_EQ(numbers_.terms.back().first, "general_kl");
  std::int64_t zeros = 0;
  for (std::size_t i = 0; i < found.size(); ++i) {
    EXPECT_TRUE(found[i].eq(all[i]).logical_or(found[i].eq(0)).all().item<bool>());
    zeros += found[i].ne(all[i]).sum().item<std::int64_t>();
  }
  EXPECT_GT(zeros, 100);
  adapter_.gradient_dropout.lambda = 0;
  const std::vector<at::Tensor> kept = dropped(options_);
  for (std::size_t i = 0; i < kept.size(); ++i) EXPECT_TRUE(at::equal(kept[i], all[i]));
}

// Both gradients are those of the whole step, whose sums differ in their last bits alone.
TEST_F(GradientDropoutStep, ComesAfterTheSumOfMicroBatches) {
  adapter_.gradient_dropout.general = GeneralKnowledge::kPreserve;
  for (const char* term : {"pres_cross_img", "pres_cross_txt"})
    options_.objective.weights[term] = 0;
  const std::vector<at::Tensor> whole = dropped(options_);
  options_.train.micro_batch_size = 2;
  const std::vector<at::Tensor> parts = dropped(options_);
  std::int64_t apart = 0, all = 0;
  for (std::size_t i = 0; i < whole.size(); ++i) {
    apart += whole[i].eq(0).ne(parts[i].eq(0)).sum().item<std::int64_t>();
    all += whole[i].numel();
  }
  EXPECT_LT(static_cast<double>(apart), 1e-3 * static_cast<double>(all));
}

}  // namespace
}  // namespace saferclip
