// ShieldCLIP's terms against values of PyTorch in float64, made from the equations of the paper.
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include <cmath>

#include "saferclip/objective/loss_set.h"
#include "support/tensors.h"

namespace saferclip {
namespace {

constexpr double kTolerance = 1e-10;

// Four rows of width five, not normalized: sin(0.7 i + 1.3 j + phase).
at::Tensor waves(double phase) {
  const at::Tensor i = at::arange(4, at::kDouble).unsqueeze(1) * 0.7;
  const at::Tensor j = at::arange(5, at::kDouble).unsqueeze(0) * 1.3;
  return (i + j + phase).sin();
}

LossInputs golden_inputs(const std::vector<double>& captions, const std::vector<double>& images) {
  LossInputs in;
  const auto leaf = [](double phase) { return waves(phase).requires_grad_(true); };
  in.tuned = {leaf(0), leaf(0.3), leaf(1.1), leaf(1.7)};
  in.reference = {waves(0.05), waves(0.35), waves(1.15), waves(1.75)};
  in.target_text = in.reference.safe_text;
  in.target_image = in.reference.safe_image;
  in.unsafe_caption_label = at::tensor(captions, at::kDouble);
  in.unsafe_image_label = at::tensor(images, at::kDouble);
  in.logit_scale = at::full({}, 10.0, at::kDouble);
  return in;
}

double term(const LossResult& result, const std::string& name) {
  for (const LossTerm& found : result.terms) {
    if (found.name == name) return found.value.item<double>();
  }
  ADD_FAILURE() << "no term " << name;
  return 0;
}

LossResult losses(const LossInputs& in) {
  return compute_losses(ObjectiveOptions::preset(ObjectiveName::kShieldClip), in, count_rows(in));
}

TEST(ShieldClip, GoldenValuesOfEachKind) {
  const LossResult result = losses(golden_inputs({1, 1, 1, 0}, {1, 1, 0, 0}));
  EXPECT_NEAR(term(result, "real"), -.305079563524, kTolerance);
  EXPECT_NEAR(term(result, "safe"), -1.997352637534, kTolerance);
  EXPECT_NEAR(term(result, "redir"), -.717736057437, kTolerance);
  EXPECT_EQ(term(result, "mix"), 0);
  EXPECT_NEAR(term(result, "coh"), 1.805327271779, kTolerance);
  EXPECT_NEAR(result.total.item<double>(), .149314992095, kTolerance);
}

TEST(ShieldClip, GoldenValuesWithoutLabels) {
  LossInputs in = golden_inputs({1, 1, 1, 1}, {1, 1, 1, 1});
  const LossResult labeled = losses(in);
  in.unsafe_caption_label = in.unsafe_image_label = at::Tensor();
  for (const LossResult& result : {labeled, losses(in)}) {
    EXPECT_NEAR(term(result, "redir"), -.724265840807, kTolerance);
    EXPECT_NEAR(term(result, "coh"), 2.804472819269, kTolerance);
    EXPECT_EQ(term(result, "safe"), 0);
    EXPECT_NEAR(result.total.item<double>(), .598183664384, kTolerance);
  }
}

TEST(ShieldClip, GoldenValuesOfOppositeLabels) {
  const LossResult result = losses(golden_inputs({1, 1, 0, 0}, {0, 0, 1, 1}));
  EXPECT_NEAR(term(result, "safe"), -1.997587036410, kTolerance);
  EXPECT_NEAR(term(result, "redir"), -.705721106032, kTolerance);
  EXPECT_NEAR(term(result, "mix"), 3.701550066815, kTolerance);
  EXPECT_EQ(term(result, "coh"), 0);
  EXPECT_NEAR(result.total.item<double>(), .624548746107, kTolerance);
}

// Central differences in every entry of every tuned embedding.
TEST(ShieldClip, GradientsAreThoseOfTheLosses) {
  LossInputs in = golden_inputs({1, 1, 0, 0}, {0, 0, 1, 1});
  in.has_unsafe_image = at::tensor({1.0, 1.0, 1.0, 0.0}, at::kDouble);
  for (const auto& [captions, images] : std::vector<std::pair<at::Tensor, at::Tensor>>{
           {in.unsafe_caption_label, in.unsafe_image_label},
           {at::tensor({1.0, 1.0, 1.0, 0.0}, at::kDouble), at::ones({4}, at::kDouble)},
           {at::zeros({4}, at::kDouble), at::tensor({0.0, 0.0, 0.0, 1.0}, at::kDouble)}}) {
    in.unsafe_caption_label = captions;
    in.unsafe_image_label = images;
    in.tuned.for_each([](at::Tensor& rows) { rows = rows.detach().requires_grad_(true); });
    losses(in).total.backward();
    std::vector<at::Tensor> leaves;
    in.tuned.for_each([&](at::Tensor& rows) { leaves.push_back(rows); });
    for (const at::Tensor& leaf : leaves) {
      ASSERT_TRUE(leaf.grad().defined());
      const at::NoGradGuard guard;
      for (std::int64_t entry = 0; entry < leaf.numel(); ++entry) {
        double* value = leaf.data_ptr<double>() + entry;
        const double kept = *value, step = 1e-6;
        *value = kept + step;
        const double above = losses(in).total.item<double>();
        *value = kept - step;
        const double below = losses(in).total.item<double>();
        *value = kept;
        EXPECT_NEAR(leaf.grad().data_ptr<double>()[entry], (above - below) / (2 * step), 1e-8);
      }
    }
  }
}

// A row's missing picture is as if the row were of no kind but that of its caption.
TEST(ShieldClip, RowsWithoutUnsafePictureHaveNoInfluence) {
  LossInputs in = golden_inputs({1, 0, 1, 0}, {1, 0, 1, 0});
  in.has_unsafe_image = at::tensor({1.0, 0.0, 1.0, 1.0}, at::kDouble);
  const LossResult clean = losses(in);
  in.tuned.unsafe_image = in.tuned.unsafe_image.detach().clone();
  in.tuned.unsafe_image[1].fill_(std::nan(""));
  in.tuned.unsafe_image.requires_grad_(true);
  in.reference.unsafe_image[1].fill_(std::nan(""));
  const LossResult dirty = losses(in);
  EXPECT_EQ(dirty.total.item<double>(), clean.total.item<double>());
  dirty.total.backward();
  EXPECT_EQ(in.tuned.unsafe_image.grad()[1].abs().sum().item<double>(), 0);
  EXPECT_TRUE(in.tuned.unsafe_text.grad().isfinite().all().item<bool>());
  // One row is left whose picture and caption are safe: nothing to be told from.
  in.tuned.unsafe_text = in.tuned.unsafe_text.detach();
  in.tuned.unsafe_image = in.tuned.unsafe_image.detach();
  in.reference.unsafe_text = in.tuned.unsafe_text;
  in.reference.unsafe_image = in.tuned.unsafe_image;
  EXPECT_NEAR(term(losses(in), "safe"), -2, 1e-12);
}

// Cosine parts of micro-batches add up to the batch's; rows not admitted yet train `real` alone.
TEST(ShieldClip, MicroBatchesAndRowsHeldBack) {
  LossInputs in = golden_inputs({1, 0, 1, 0}, {1, 1, 0, 0});
  ObjectiveOptions o = ObjectiveOptions::preset(ObjectiveName::kShieldClip);
  o.weights = {{"redir", 1.0}};
  const LossCounts counts = count_rows(in);
  at::Tensor sum = at::zeros({}, at::kDouble);
  for (std::int64_t begin = 0; begin < 4; ++begin) {
    sum = sum + compute_losses(o, narrow_rows(in, begin, 1), counts).total.detach();
  }
  expect_close(sum, compute_losses(o, in, counts).total.detach(), 1e-12, "redir");
  in.is_redirected = at::zeros({4}, at::kDouble);
  const LossResult held = losses(in);
  for (const char* name : {"safe", "redir", "mix", "coh"}) EXPECT_EQ(term(held, name), 0) << name;
  EXPECT_NE(term(held, "real"), 0);
}

// `nearest` sends unsafe items elsewhere and leaves the other terms alone.
TEST(ShieldClip, TargetsReachRedirAlone) {
  LossInputs in = golden_inputs({1, 1, 1, 0}, {1, 1, 0, 0});
  const LossResult own = losses(in);
  in.target_text = waves(2);
  in.target_image = waves(2.2);
  const LossResult nearest = losses(in);
  EXPECT_NE(term(own, "redir"), term(nearest, "redir"));
  for (const char* name : {"real", "safe", "mix", "coh"}) {
    EXPECT_EQ(term(own, name), term(nearest, name)) << name;
  }
}

}  // namespace
}  // namespace saferclip
