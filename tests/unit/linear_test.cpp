// The linear layer with and without adapters, forward and backward.
#include "saferclip/nn/linear.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "support/operators.h"

namespace saferclip {
namespace {

constexpr double kScaling = 0.5;

// 12 inputs, 10 outputs; adapters on outputs 0 … 3 and 6 … 9.
class LinearLayer : public OperatorTest {
 protected:
  void SetUp() override {
    OperatorTest::SetUp();
    if (IsSkipped()) return;
    at::manual_seed(7);
    mode_.compute = dtype();
    layer_.weight = random({10, 12});
    layer_.bias = leaf({10});
    x_ = random({4, 9, 12});
    dy_ = random({4, 9, 10});
  }
  // fp32, as trained weights and biases are.
  at::Tensor leaf(at::IntArrayRef sizes) const {
    return at::randn(sizes).to(at::Device(GetParam().device));
  }
  void adapt() {
    layer_.lora = {{"first", leaf({2, 12}).requires_grad_(), leaf({4, 2}).requires_grad_(), 0, 4},
                   {"second", leaf({3, 12}).requires_grad_(), leaf({4, 3}).requires_grad_(), 6, 4}};
    layer_.lora_scaling = kScaling;
  }
  static at::Tensor leaf_of(const at::Tensor& x) { return exact(x).requires_grad_(); }

  // Compares the result and the gradients of input and adapters with float64.
  void expect_exact() {
    const at::Tensor x = x_.clone().requires_grad_();
    const at::Tensor y = linear(layer_, x, mode_);
    y.backward(dy_);
    ASSERT_EQ(y.scalar_type(), dtype());

    const at::Tensor wide = leaf_of(x_);
    at::Tensor expected = at::linear(wide, exact(layer_.weight), exact(layer_.bias));
    std::vector<at::Tensor> a, b;
    for (const LoraSegment& segment : layer_.lora) {
      a.push_back(leaf_of(segment.a));
      b.push_back(leaf_of(segment.b));
      const at::Tensor change = at::linear(at::linear(wide, a.back()), b.back()) * kScaling;
      expected =
          expected + at::constant_pad_nd(change, {segment.row, 10 - segment.row - segment.rows});
    }
    expected.backward(exact(dy_));
    EXPECT_LT(relative_error(y, expected), 4 * tolerance());
    EXPECT_LT(relative_error(x.grad(), wide.grad()), 4 * tolerance());
    for (std::size_t i = 0; i < layer_.lora.size(); ++i) {
      EXPECT_LT(relative_error(layer_.lora[i].a.grad(), a[i].grad()), 4 * tolerance()) << i;
      EXPECT_LT(relative_error(layer_.lora[i].b.grad(), b[i].grad()), 4 * tolerance()) << i;
    }
  }

  Linear layer_;
  ForwardMode mode_;
  at::Tensor x_, dy_;
};

TEST_P(LinearLayer, FrozenEqualsFloat64) { expect_exact(); }

TEST_P(LinearLayer, WithAdaptersEqualsFloat64) {
  adapt();
  expect_exact();
}

TEST_P(LinearLayer, PackedOrNotIsTheSame) {
  adapt();
  pack_frozen(layer_, 36, dtype());
  if (!layer_.packed.defined()) GTEST_SKIP() << "no such layout here";
  const at::Tensor packed = linear(layer_, x_, mode_);
  at::manual_seed(7);
  layer_.packed = layer_.packed_transpose = at::Tensor();
  layer_.weight = random({10, 12});
  EXPECT_LT(relative_error(packed, linear(layer_, x_, mode_)), 2 * tolerance());
}

TEST_P(LinearLayer, AdaptersWriteTheirColumnsAlone) {
  adapt();
  layer_.bias = at::Tensor();
  layer_.weight.zero_();
  const at::Tensor y = linear(layer_, x_, mode_).detach();
  const at::Tensor first =
      at::linear(at::linear(exact(x_), exact(layer_.lora[0].a)), exact(layer_.lora[0].b));
  EXPECT_LT(relative_error(y.narrow(2, 0, 4), first * kScaling), 4 * tolerance());
  EXPECT_EQ(largest_difference(y.narrow(2, 4, 2), at::zeros({4, 9, 2})), 0);
  EXPECT_GT(exact(y.narrow(2, 6, 4)).abs().max().item<double>(), 0.1);
}

TEST_P(LinearLayer, MergedIsTheSumInFp32) {
  adapt();
  const at::Tensor merged = merged_weight(layer_);
  EXPECT_EQ(merged.scalar_type(), at::kFloat);
  at::Tensor expected = exact(layer_.weight);
  for (const LoraSegment& segment : layer_.lora) {
    expected.narrow(0, segment.row, segment.rows)
        .add_(at::mm(exact(segment.b), exact(segment.a)) * kScaling);
  }
  EXPECT_LT(relative_error(merged, expected), 2 * tolerance_of(at::kFloat));
}

INSTANTIATE_TEST_SUITE_P(Cpu, LinearLayer, places(at::kCPU, {at::kFloat, at::kBFloat16}),
                         place_name);
INSTANTIATE_TEST_SUITE_P(Gpu, LinearLayer, places(at::kCUDA, {at::kFloat, at::kBFloat16}),
                         place_name);

}  // namespace
}  // namespace saferclip
