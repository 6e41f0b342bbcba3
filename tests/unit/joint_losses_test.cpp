// Joint prediction with neighbors against values of PyTorch in float64, made from CET's equation.
#include "objective/joint_losses.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "saferclip/objective/loss_set.h"
#include "saferclip/objective/losses.h"
#include "saferclip/objective/row_neighbours.h"
#include "support/tensors.h"

namespace saferclip {
namespace {

constexpr double kTolerance = 1e-10;

// Four rows of width five, not normalized.
at::Tensor sine_rows(double phase) {
  const at::Tensor i = at::arange(4, at::kDouble).unsqueeze(1) * 0.7;
  const at::Tensor j = at::arange(5, at::kDouble).unsqueeze(0) * 1.3;
  return (i + j + phase).sin();
}

at::Tensor ten() { return at::full({}, 10.0, at::kDouble); }

// Neighbors {1, 2}, {2, 3}, {3, 0}, none.
JointRows golden_rows() {
  const at::Tensor index = at::tensor({1, 2, 2, 3, 3, 0, 0, 0}, at::kLong).view({4, 2});
  const at::Tensor exists = at::tensor({1, 1, 1, 1, 1, 1, 0, 0}, at::kLong).view({4, 2}).ne(0);
  return {index, exists, at::zeros({4, 3, 4}, at::kBool)};
}

TEST(JointPrediction, GoldenValues) {
  at::Tensor tuned = sine_rows(0).requires_grad_(true);
  const at::Tensor loss = joint_prediction(tuned, sine_rows(0.3), ten(), golden_rows(), 0.9).mean();
  EXPECT_NEAR(loss.item<double>(), .461688607479, kTolerance);
  loss.backward();
  EXPECT_NEAR(tuned.grad().norm().item<double>(), .7056830922867, kTolerance);
  JointRows dropped = golden_rows();
  for (std::int64_t i = 0; i < 3; ++i) {
    for (std::int64_t k = 0; k < 2; ++k) {
      dropped.is_excluded[i][k + 1][dropped.neighbours[i][k].item<std::int64_t>()] = true;
    }
  }
  EXPECT_NEAR(joint_prediction(tuned, sine_rows(0.3), ten(), dropped, 0.9).mean().item<double>(),
              .428487974263, kTolerance);
}

// Row by row, as the equation reads.
double by_hand(const at::Tensor& tuned, const at::Tensor& options, double threshold, std::size_t k,
               const std::vector<bool>& counts) {
  const auto cosine = [](const at::Tensor& a, const at::Tensor& b) {
    return (a * b).sum().item<double>() / (a.norm().item<double>() * b.norm().item<double>());
  };
  double sum = 0;
  const std::int64_t rows = tuned.size(0);
  const auto is_in = [&](std::int64_t c) { return counts[static_cast<std::size_t>(c)]; };
  for (std::int64_t i = 0; i < rows; ++i) {
    if (!is_in(i)) continue;
    std::vector<std::pair<double, std::int64_t>> near;
    for (std::int64_t j = 0; j < rows; ++j) {
      const double likeness = cosine(options[i], options[j]);
      if (j != i && is_in(j) && likeness >= threshold) near.emplace_back(-likeness, j);
    }
    const auto probability = [&](std::int64_t j) {
      double all = 0, own = 0;
      for (std::int64_t c = 0; c < rows; ++c) {
        if (c != i && (!is_in(c) || cosine(options[i], options[c]) >= threshold)) continue;
        const double weight = std::exp(10 * cosine(tuned[j], options[c]));
        all += weight;
        if (c == i) own = weight;
      }
      return own / all;
    };
    std::sort(near.begin(), near.end());
    near.resize(std::min(near.size(), k));
    double others = 0;
    for (const auto& [likeness, j] : near) others += probability(j);
    const double own_weight = near.empty() ? 1 : 0.9;
    sum -= std::log(own_weight * probability(i) +
                    (1 - own_weight) * others /
                        static_cast<double>(std::max<std::size_t>(near.size(), 1)));
  }
  return sum;
}

TEST(JointPrediction, EqualsTheEquationRowByRow) {
  at::manual_seed(4);
  const at::Tensor around = at::randn({3, 6}, at::kDouble);
  const at::Tensor options = around.repeat({4, 1}) + 0.2 * at::randn({12, 6}, at::kDouble);
  const at::Tensor tuned = options + 0.3 * at::randn({12, 6}, at::kDouble);
  for (const std::int64_t k : {1, 2, 5, 20}) {
    for (const double threshold : {0.5, 0.9, 0.97, 0.9999}) {
      for (const bool is_masked : {false, true}) {
        std::vector<bool> counts(12, true);
        at::Tensor mask = at::ones({12}, at::kDouble);
        for (const std::int64_t out : {2, 7}) {
          if (!is_masked) break;
          counts[static_cast<std::size_t>(out)] = false;
          mask[out] = 0;
        }
        const JointRows rows =
            find_joint_rows(options, k, threshold, is_masked ? mask : at::Tensor());
        const double found =
            (joint_prediction(tuned, options, ten(), rows, 0.9) * mask).sum().item<double>();
        EXPECT_NEAR(found, by_hand(tuned, options, threshold, static_cast<std::size_t>(k), counts),
                    1e-9)
            << k << ' ' << threshold << ' ' << is_masked;
      }
    }
  }
}

TEST(JointPrediction, GradientsAreThoseOfTheLoss) {
  at::manual_seed(5);
  const at::Tensor options =
      at::randn({2, 4}, at::kDouble).repeat({3, 1}) + 0.1 * at::randn({6, 4}, at::kDouble);
  at::Tensor tuned = at::randn({6, 4}, at::kDouble).requires_grad_(true);
  const auto loss = [&] {
    return joint_prediction(tuned, options, ten(), find_joint_rows(options, 2, 0.9), 0.9).sum();
  };
  loss().backward();
  const at::NoGradGuard guard;
  for (std::int64_t entry = 0; entry < tuned.numel(); ++entry) {
    double* value = tuned.data_ptr<double>() + entry;
    const double kept = *value, step = 1e-6;
    *value = kept + step;
    const double above = loss().item<double>();
    *value = kept - step;
    const double below = loss().item<double>();
    *value = kept;
    EXPECT_NEAR(tuned.grad().data_ptr<double>()[entry], (above - below) / (2 * step), 1e-7);
  }
}

TEST(JointPrediction, AloneThereIsNothingToBeToldFrom) {
  at::Tensor one = at::randn({1, 4}).requires_grad_(true);
  const at::Tensor answer = at::randn({1, 4});
  const at::Tensor loss =
      joint_prediction(one, answer, at::full({}, 100.0F), find_joint_rows(answer, 5, 0.9), 0.9);
  EXPECT_EQ(loss.item<float>(), 0);
  loss.sum().backward();
  EXPECT_EQ(one.grad().abs().sum().item<float>(), 0);
}

// Without neighbors the two partner terms are the two directions of InfoNCE; targets take the
// unsafe half, and rows without an unsafe picture have no influence.
TEST(JointPrediction, TermsOfTheObjectives) {
  LossInputs in;
  const auto leaf = [](double phase) { return sine_rows(phase).requires_grad_(true); };
  in.tuned = {leaf(0), leaf(0.3), leaf(1.1), leaf(1.7)};
  in.reference = {sine_rows(0.05), sine_rows(0.35), sine_rows(1.15), sine_rows(1.75)};
  in.target_text = sine_rows(0.5).index_select(0, at::tensor({0, 0, 2, 3}, at::kLong));
  in.target_image = sine_rows(0.8).index_select(0, at::tensor({0, 0, 2, 3}, at::kLong));
  in.logit_scale = ten();
  for (const ObjectiveName name :
       {ObjectiveName::kSaferClip, ObjectiveName::kSafeClip, ObjectiveName::kShieldClip}) {
    ObjectiveOptions o = ObjectiveOptions::preset(name);
    for (auto& [term, weight] : o.weights) weight = 0;
    o.normalise = Normalization::kNone;
    o.weights["pres_cet_txt"] = 1;
    o.pres_cet.threshold = 1;
    const at::Tensor logits = 10 * at::mm(normalise_rows(in.tuned.safe_text),
                                          normalise_rows(in.reference.safe_image).t());
    const double expected = -at::log_softmax(logits, 1).diagonal().mean().item<double>();
    EXPECT_NEAR(compute_losses(o, in, count_rows(in)).total.item<double>(), expected, 1e-12);
  }
  ObjectiveOptions o = ObjectiveOptions::preset(ObjectiveName::kSaferClip);
  for (auto& [term, weight] : o.weights) weight = 0;
  o.weights["pres_cet_img"] = 1;
  o.pres_cet.over = JointAnswer::kTarget;
  EXPECT_EQ(terms_with_unsafe_images(o), std::vector<std::string>{"pres_cet_img"});
  EXPECT_NEAR(
      compute_losses(o, in, count_rows(in)).total.item<double>(),
      by_hand(in.tuned.unsafe_image, in.target_text, 1 - 1e-9, 5, {true, true, true, true}) / 4,
      1e-9);
  in.has_unsafe_image = at::tensor({1.0, 0.0, 1.0, 1.0}, at::kDouble);
  in.tuned.unsafe_image = in.tuned.unsafe_image.detach().clone();
  in.tuned.unsafe_image[1].fill_(std::nan(""));
  in.tuned.unsafe_image.requires_grad_(true);
  const LossResult result = compute_losses(o, in, count_rows(in));
  EXPECT_NEAR(
      result.total.item<double>(),
      by_hand(in.tuned.unsafe_image, in.target_text, 1 - 1e-9, 5, {true, false, true, true}) / 3,
      1e-9);
  result.total.backward();
  EXPECT_TRUE(in.tuned.unsafe_image.grad().isfinite().all().item<bool>());
  EXPECT_EQ(in.tuned.unsafe_image.grad()[1].abs().sum().item<double>(), 0);
}

TEST(RowNeighbours, EqualBruteForce) {
  at::manual_seed(6);
  at::Tensor rows = at::randn({600, 8});
  rows = rows / rows.norm(2, {1}, true);
  rows[500].copy_(rows[3]);
  const at::Tensor found = rows_above(rows, 4, 0.8);
  const at::Tensor cosines = at::mm(rows.to(at::kDouble), rows.to(at::kDouble).t());
  for (std::int64_t i = 0; i < 600; ++i) {
    std::vector<std::pair<double, std::int64_t>> near;
    for (std::int64_t j = 0; j < 600; ++j) {
      const double cosine = cosines[i][j].item<double>();
      if (j != i && cosine >= 0.8) near.emplace_back(-cosine, j);
    }
    std::sort(near.begin(), near.end());
    for (std::size_t n = 0; n < 4; ++n) {
      const std::int64_t expected = n < near.size() ? near[n].second : -1;
      EXPECT_EQ(found[i][static_cast<std::int64_t>(n)].item<std::int64_t>(), expected) << i;
    }
  }
  EXPECT_EQ(found[500][0].item<std::int64_t>(), 3);
  const at::Tensor groups = rows_of_group(at::tensor({7, -1, 7, 7, -2}, at::kLong), 5);
  expect_close(groups.to(at::kDouble).narrow(1, 0, 3),
               at::tensor({2.0, 3.0, -1.0, -1.0, -1.0, -1.0, 3.0, 0.0, -1.0, 0.0, 2.0, -1.0, -1.0,
                           -1.0, -1.0},
                          at::kDouble)
                   .view({5, 3}),
               0, "groups");
}

}  // namespace
}  // namespace saferclip
