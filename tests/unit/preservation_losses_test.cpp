// SAGE's two terms against values of PyTorch in float64, made from the equations of the paper.
#include "objective/preservation_losses.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include "saferclip/objective/loss_set.h"
#include "support/tensors.h"

namespace saferclip {
namespace {

constexpr double kTolerance = 1e-10;

// Four rows of width five, not normalized.
at::Tensor wave_rows(double phase) {
  const at::Tensor i = at::arange(4, at::kDouble).unsqueeze(1) * 0.7;
  const at::Tensor j = at::arange(5, at::kDouble).unsqueeze(0) * 1.3;
  return (i + j + phase).sin();
}

TEST(PreservationLosses, GoldenValues) {
  const at::Tensor reference = wave_rows(0.05), tuned = wave_rows(0) + 0.2;
  EXPECT_NEAR(spread_loss(tuned, reference).item<double>(), .051635551826, kTolerance);
  EXPECT_NEAR(neighbour_loss(tuned, reference, 2).item<double>(), .125029330910, kTolerance);
}

TEST(PreservationLosses, RowsMaySpread) {
  at::Tensor tuned = wave_rows(0.05).requires_grad_(true);
  EXPECT_EQ(spread_loss(tuned, wave_rows(0) + 0.2).item<double>(), 0);
  spread_loss(tuned, wave_rows(0) + 0.2).backward();
  EXPECT_EQ(tuned.grad().abs().sum().item<double>(), 0);
}

// The deviation of n − 1 leaves 1/n of eight pairs; more neighbors than rows are all the others.
TEST(PreservationLosses, UnmovedRows) {
  const at::Tensor rows = wave_rows(0);
  EXPECT_EQ(spread_loss(rows, rows).item<double>(), 0);
  EXPECT_NEAR(neighbour_loss(rows, rows, 2).item<double>(), 1.0 / 8, 1e-6);
  EXPECT_NEAR(neighbour_loss(rows, rows, 15).item<double>(), 1.0 / 12, 1e-6);
}

TEST(PreservationLosses, RowsWithoutStructure) {
  at::Tensor one = wave_rows(0).narrow(0, 0, 1).clone().requires_grad_(true);
  at::Tensor two = wave_rows(0).narrow(0, 0, 2).clone().requires_grad_(true);
  at::Tensor same = wave_rows(0).narrow(0, 0, 1).expand({4, 5}).clone().requires_grad_(true);
  EXPECT_EQ(spread_loss(one, one.detach()).item<double>(), 0);
  for (const at::Tensor& rows : {one, two, same}) {
    const at::Tensor loss = neighbour_loss(rows, rows.detach(), 3);
    EXPECT_EQ(loss.item<double>(), 0);
    loss.backward();
    EXPECT_EQ(rows.grad().abs().sum().item<double>(), 0);
  }
  EXPECT_EQ(neighbour_loss(same, wave_rows(0), 2).item<double>(), 1);  // all drawn together
}

TEST(PreservationLosses, GradientsAreThoseOfTheLosses) {
  const at::Tensor reference = wave_rows(0.05);
  at::Tensor tuned = (wave_rows(0) + 0.2).requires_grad_(true);
  const auto both = [&] {
    return spread_loss(tuned, reference) + neighbour_loss(tuned, reference, 2);
  };
  both().backward();
  const at::NoGradGuard guard;
  for (std::int64_t entry = 0; entry < tuned.numel(); ++entry) {
    double* value = tuned.data_ptr<double>() + entry;
    const double kept = *value, step = 1e-6;
    *value = kept + step;
    const double above = both().item<double>();
    *value = kept - step;
    const double below = both().item<double>();
    *value = kept;
    EXPECT_NEAR(tuned.grad().data_ptr<double>()[entry], (above - below) / (2 * step), 1e-8);
  }
}

// In each objective that preserves something, with the weight it is given.
TEST(PreservationLosses, TermsOfTheObjectives) {
  for (const ObjectiveName name :
       {ObjectiveName::kSaferClip, ObjectiveName::kSafeClip, ObjectiveName::kShieldClip}) {
    ObjectiveOptions o = ObjectiveOptions::preset(name);
    for (auto& [term, weight] : o.weights) weight = 0;
    o.weights["pres_spread_txt"] = o.weights["pres_local_img"] = 1;
    o.normalise = Normalization::kNone;
    o.pres_local.neighbours = 2;
    LossInputs in;
    in.tuned = {wave_rows(0) + 0.2, wave_rows(0) + 0.2, wave_rows(1), wave_rows(2)};
    in.reference = {wave_rows(0.05), wave_rows(0.05), wave_rows(1), wave_rows(2)};
    in.target_text = in.target_image = wave_rows(0);
    in.logit_scale = at::full({}, 10.0, at::kDouble);
    const LossResult result = compute_losses(o, in, count_rows(in));
    ASSERT_EQ(result.terms.size(), 2U);
    EXPECT_NEAR(result.total.item<double>(), .051635551826 + .125029330910, kTolerance)
        << to_string(name);
    // Micro-batches share the weight of the batch.
    const LossInputs half = narrow_rows(in, 0, 2);
    const double of_batch = compute_losses(o, half, count_rows(in)).total.item<double>();
    EXPECT_NEAR(of_batch, compute_losses(o, half, count_rows(half)).total.item<double>() / 2,
                1e-12);
  }
}

}  // namespace
}  // namespace saferclip
