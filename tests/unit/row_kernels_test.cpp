#include "nn/row_kernels.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "nn/attention.h"
#include "support/operators.h"

namespace saferclip {
namespace {

// Of the CPU alone.
using RowKernels = OperatorTest;
using Attention = OperatorTest;

TEST_P(RowKernels, QuickGeluAndItsDerivativeEqualFloat64) {
  at::manual_seed(1);
  for (const std::int64_t size : {1, 15, 16, 17, 40'000}) {
    const at::Tensor x = random({size}, 3), dy = random({size});
    const at::Tensor wide = exact(x);
    const at::Tensor s = at::sigmoid(wide * 1.702);
    const at::Tensor y = wide * s;
    const at::Tensor slope = s + 1.702 * wide * s * (1 - s);
    EXPECT_LT(largest_difference(quick_gelu(x), y), 8 * tolerance());
    at::Tensor dx = dy.clone(), dx_too = dy.clone(), value = at::empty_like(x);
    quick_gelu_backward_(dx, x);
    quick_gelu_backward_(dx_too, x, value);
    EXPECT_LT(largest_difference(dx, exact(dy) * slope), 4 * tolerance());
    EXPECT_TRUE(dx.equal(dx_too));
    EXPECT_TRUE(value.equal(quick_gelu(x)));
  }
}

TEST_P(RowKernels, QuickGeluKeepsItsEnds) {
  const float infinity = std::numeric_limits<float>::infinity();
  const at::Tensor x = at::tensor({1e4F, -1e4F, infinity, std::nanf(""), 0.0F}).to(dtype());
  const at::Tensor y = quick_gelu(x).to(at::kDouble);
  EXPECT_EQ(y[0].item<double>(), x[0].to(at::kDouble).item<double>());
  EXPECT_NEAR(y[1].item<double>(), 0, 1e-30);
  EXPECT_EQ(y[2].item<double>(), infinity);
  EXPECT_TRUE(std::isnan(y[3].item<double>()));
  EXPECT_EQ(y[4].item<double>(), 0);
}

TEST_P(RowKernels, SoftmaxEqualsFloat64) {
  at::manual_seed(2);
  for (const std::int64_t length : {1, 7, 16, 17, 50, 257}) {
    for (const bool is_causal : {false, true}) {
      const at::Tensor scores = random({3, length, length}, 8);
      at::Tensor seen = exact(scores) * 0.3;
      if (is_causal) {
        seen = seen.masked_fill(at::ones({length, length}, at::kBool).triu(1),
                                -std::numeric_limits<double>::infinity());
      }
      at::Tensor weights = scores.clone();
      attention_softmax_(weights, 0.3, is_causal);
      EXPECT_LT(largest_difference(weights, seen.softmax(-1)), tolerance());
      const at::Tensor p = exact(weights);
      at::Tensor gradient = random({3, length, length});
      const at::Tensor g = exact(gradient);
      attention_softmax_backward_(gradient, weights, 0.3);
      EXPECT_LT(largest_difference(gradient, 0.3 * p * (g - (p * g).sum(-1, true))), tolerance());
    }
  }
}

TEST_P(RowKernels, SoftmaxOfARowWithNaNIsNaN) {
  at::Tensor scores = random({2, 20, 20});
  scores[1][3][18] = std::nanf("");
  attention_softmax_(scores, 1, false);
  EXPECT_TRUE(scores[1][3].isnan().all().item<bool>());
  EXPECT_EQ(scores.isnan().sum().item<std::int64_t>(), 20);
}

TEST_P(RowKernels, LayerNormAndItsDerivativeEqualFloat64) {
  at::manual_seed(4);
  for (const std::int64_t length : {5, 16, 23, 768}) {
    const at::Tensor x = random({50, length}) * 2 + 3, dy = random({50, length}),
                     addend = random({50, length});
    const at::Tensor weight = at::randn({length}), bias = at::randn({length});
    const at::Tensor wide = exact(x).requires_grad_();
    const at::Tensor y = at::layer_norm(wide, {length}, exact(weight), exact(bias), 1e-5);
    y.backward(exact(dy));
    const NormedRows found = norm_rows(x, weight, bias, 1e-5);
    EXPECT_LT(largest_difference(found.y, y), 8 * tolerance());
    EXPECT_TRUE(found.y.equal(recompute_norm_rows(x, weight, bias, found.mean, found.rstd)));
    at::Tensor dx = dy.clone(), dx_more = dy.clone();
    norm_rows_backward_(dx, x, weight, found.mean, found.rstd);
    norm_rows_backward_(dx_more, x, weight, found.mean, found.rstd, addend);
    EXPECT_LT(largest_difference(dx, wide.grad()), 8 * tolerance()) << length;
    EXPECT_LT(largest_difference(dx_more, wide.grad() + exact(addend)), 12 * tolerance());
  }
}

// Values far from 0: what the mean of squares less the square of the mean would lose.
TEST(LayerNormRows, KeepItsDigitsFarFromZero) {
  at::manual_seed(5);
  const at::Tensor x = at::randn({8, 256}) + 3000, one = at::ones({256}), zero = at::zeros({256});
  EXPECT_LT(largest_difference(norm_rows(x, one, zero, 1e-5).y,
                               at::layer_norm(exact(x), {256}, exact(one), exact(zero), 1e-5)),
            5e-4);
}

TEST_P(Attention, AndItsGradientEqualFloat64) {
  at::manual_seed(3);
  for (const std::int64_t length : {5, 21}) {
    for (const bool is_causal : {false, true}) {
      const AttentionShape shape{3, length, 4, is_causal, /*keeps_weights=*/length == 5};
      const at::Tensor qkv = random({3 * length, 96}), dy = random({3 * length, 32});
      const at::Tensor own = qkv.clone().requires_grad_();
      const at::Tensor in_double = exact(qkv).requires_grad_();
      const at::Tensor found = self_attention(own, shape);
      const at::Tensor expected = self_attention(in_double, shape);
      found.backward(dy);
      expected.backward(exact(dy));
      EXPECT_LT(largest_difference(found, expected), 6 * tolerance());
      EXPECT_LT(largest_difference(own.grad(), in_double.grad()), 6 * tolerance());
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Cpu, RowKernels, places(at::kCPU, {at::kFloat, at::kBFloat16}),
                         place_name);
INSTANTIATE_TEST_SUITE_P(Cpu, Attention, places(at::kCPU, {at::kFloat, at::kBFloat16}), place_name);
INSTANTIATE_TEST_SUITE_P(Gpu, Attention, places(at::kCUDA, {at::kFloat, at::kBFloat16}),
                         place_name);

}  // namespace
}  // namespace saferclip
