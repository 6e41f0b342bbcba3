// Dynamic loss scaling: alone, in the optimizer, in a step, in checkpoints and in the log.
#include "saferclip/nn/loss_scale.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <limits>

#include "saferclip/train/checkpoint.h"
#include "saferclip/train/step.h"
#include "support/temporary_folder.h"
#include "support/tiny_batch.h"
#include "support/tiny_model.h"
#include "train/step_log.h"

namespace saferclip {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

double value(const at::Tensor& scalar) { return scalar.item<double>(); }

TEST(LossScale, OverflowsHalveItAndTwoThousandStepsDoubleIt) {
  LossScale scale(at::kCPU);
  EXPECT_EQ(value(scale.apply(at::full({}, 2.0f))), 2 * 65536);
  std::vector<at::Tensor> gradients{at::full({2}, 65536.0f), at::full({3}, 32768.0f)};
  scale.unscale(gradients);
  EXPECT_EQ(value(gradients[0][1]), 1);
  EXPECT_EQ(value(gradients[1][2]), 0.5);
  EXPECT_EQ(value(scale.found_inf()), 0);
  gradients[1][0] = kInfinity;
  scale.unscale(gradients);
  EXPECT_EQ(value(scale.found_inf()), 1);
  scale.update();
  EXPECT_EQ(value(scale.scale()), 32768);
  const std::vector<at::Tensor> sound{at::ones({1})};
  for (int step = 0; step < 2000; ++step) {
    scale.unscale(sound);
    EXPECT_EQ(value(scale.scale()), 32768) << step;
    scale.update();
  }
  EXPECT_EQ(value(scale.scale()), 65536);
}

TEST(LossScale, AnOverflowChangesNothingButTheScale) {
  for (const OptimizerName name : {OptimizerName::kAdam, OptimizerName::kAdamW}) {
    TrainedParameter parameter;
    parameter.tensor = at::ones({4}).requires_grad_(true);
    parameter.decays = true;
    OptimizerOptions options;
    options.name = name;
    options.weight_decay = 0.1;
    Optimizer optimizer(options, {parameter}, Optimizer::Scaling::kDynamic);
    const auto step = [&](float gradient) {
      parameter.tensor.mutable_grad() = at::full({4}, gradient);
      const at::Tensor norm = optimizer.clip_gradients(1.0);
      optimizer.step(0.1);
      return value(norm);
    };
    EXPECT_FLOAT_EQ(static_cast<float>(step(65536)), 2);
    const at::Tensor before = parameter.tensor.detach().clone(),
                     mean = optimizer.exp_avg(0).clone();
    EXPECT_FALSE(std::isfinite(step(kInfinity)));
    EXPECT_TRUE(parameter.tensor.equal(before));
    EXPECT_TRUE(optimizer.exp_avg(0).equal(mean));
    EXPECT_EQ(value(optimizer.step_count(0)), 1);
    EXPECT_EQ(value(optimizer.loss_scale()->scale()), 32768);
    step(32768);
    EXPECT_FALSE(parameter.tensor.equal(before));
    EXPECT_EQ(value(optimizer.step_count(0)), 2);
  }
}

class TinyScaled : public TinyModel {
 protected:
  // Of a step without learning, after the scale has found its place.
  at::Tensor gradients(at::ScalarType compute, Optimizer::Scaling scaling, double weight) {
    StepOptions options;
    options.objective = ObjectiveOptions::preset(ObjectiveName::kSaferClip);
    for (auto& [name, of_term] : options.objective.weights) of_term = weight;
    options.preprocessing = source_.preprocessing;
    options.compute = compute;
    Optimizer optimizer({}, parameters_, scaling);
    for (int i = 0; i < 20; ++i) {
      const StepNumbers numbers =
          train_step(model_, optimizer, tiny_batch(5, source_.geometry), options, 0);
      if (!numbers.is_skipped.defined() || value(numbers.is_skipped) == 0) break;
    }
    std::vector<at::Tensor> flat;
    for (const TrainedParameter& p : parameters_) flat.push_back(p.tensor.grad().flatten());
    return at::cat(flat);
  }
};

TEST_F(TinyScaled, SmallGradientsSurviveFp16) {
  constexpr double kSmall = 5e-8;
  const auto cosine = [](const at::Tensor& a, const at::Tensor& b) {
    return value(a.dot(b)) / (value(a.norm()) * value(b.norm()) + 1e-30);
  };
  using Scaling = Optimizer::Scaling;
  const at::Tensor exact = gradients(at::kFloat, Scaling::kNone, kSmall);
  EXPECT_GT(cosine(gradients(at::kHalf, Scaling::kDynamic, kSmall), exact), 0.99);
  EXPECT_LT(cosine(gradients(at::kHalf, Scaling::kNone, kSmall), exact), 0.9);
  const at::Tensor usual = gradients(at::kFloat, Scaling::kNone, 1);
  EXPECT_GT(cosine(gradients(at::kHalf, Scaling::kDynamic, 1), usual), 0.99);
}

TEST_F(TinyScaled, CheckpointsKeepTheScaleAndDoWithoutIt) {
  const TemporaryFolder folder;
  const auto optimizer = [&](Optimizer::Scaling scaling) {
    return Optimizer({}, parameters_, scaling);
  };
  const auto save = [&](std::int64_t step, const Optimizer& saved) {
    Logger quiet(LogLevel::kOff);
    CheckpointStore store(folder.path(), quiet);
    TrainState state;
    state.step = step;
    store.save(take_snapshot(state, parameters_, saved), {5, true});
    return store.folder(step);
  };
  Optimizer scaled = optimizer(Optimizer::Scaling::kDynamic);
  for (const TrainedParameter& p : parameters_) {
    at::Tensor leaf = p.tensor;
    leaf.mutable_grad() = at::full_like(p.tensor, kInfinity);
  }
  scaled.clip_gradients({});
  scaled.step(0);
  Optimizer again = optimizer(Optimizer::Scaling::kDynamic);
  restore(save(1, scaled), parameters_, again);
  EXPECT_EQ(value(again.loss_scale()->scale()), 32768);
  Optimizer plain = optimizer(Optimizer::Scaling::kNone);
  restore(save(1, scaled), parameters_, plain);
  Optimizer fresh = optimizer(Optimizer::Scaling::kDynamic);
  restore(save(2, plain), parameters_, fresh);
  EXPECT_EQ(value(fresh.loss_scale()->scale()), 65536);
}

TEST(StepLog, SkippedStepsPassUntilTheScaleIsUsedUp) {
  const TemporaryFolder folder;
  MetricsLog metrics(folder / "metrics.jsonl", 0);
  StepLog steps(metrics, 1, 10);
  const auto passes = [&](double loss, double norm, std::optional<double> scale, bool skipped) {
    StepNumbers numbers;
    const auto scalar = [](double number) { return at::full({}, number); };
    numbers.loss = scalar(loss);
    numbers.grad_norm = scalar(norm);
    if (scale) numbers.loss_scale = scalar(*scale);
    if (scale) numbers.is_skipped = scalar(skipped ? 1 : 0);
    steps.put({}, numbers);
    return steps.flush();
  };
  EXPECT_TRUE(passes(1, 2, {}, false));
  EXPECT_FALSE(passes(1, kInfinity, {}, false));
  EXPECT_TRUE(passes(1, kInfinity, 32768, true));
  EXPECT_EQ(steps.line().loss_scale, 32768);
  EXPECT_TRUE(steps.line().is_skipped);
  EXPECT_EQ(steps.skipped(), 1);
  EXPECT_FALSE(passes(kInfinity, kInfinity, 32768, true));
  EXPECT_FALSE(passes(1, kInfinity, 0.5, true));
  EXPECT_NE(not_finite_text(steps.line(), {}, {}).find("whatever the loss scale"),
            std::string::npos);
}

}  // namespace
}  // namespace saferclip
