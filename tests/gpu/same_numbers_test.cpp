// Correct code passes on the fake CUDA device, and comes to the CPU's numbers: it computes with the
// CPU's kernels, so anything else is a defect of the device.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <functional>

#include "fake_cuda.h"

namespace saferclip {
namespace {

const c10::Device kCuda(c10::kCUDA, 0);
using Tensors = std::vector<at::Tensor>;

class SameNumbers : public ::testing::TestWithParam<at::ScalarType> {
 protected:
  void SetUp() override {
    if (!FakeCuda().is_there()) GTEST_SKIP() << "the fake device is not preloaded";
    at::manual_seed(3);
  }
  at::Tensor random(at::IntArrayRef sizes) { return at::randn(sizes).to(GetParam()); }

  // The function's results, and the gradients of their sum of squares in the leaves, on both
  // devices.
  void compare(const Tensors& leaves, const std::function<Tensors(const Tensors&)>& function,
               double tolerance = 0) {
    const Tensors cpu = evaluate(leaves, function, c10::kCPU);
    const Tensors cuda = evaluate(leaves, function, kCuda);
    ASSERT_EQ(cpu.size(), cuda.size());
    for (std::size_t i = 0; i < cpu.size(); ++i) {
      ASSERT_TRUE(cuda[i].is_cuda());
      EXPECT_EQ(cuda[i].strides(), cpu[i].strides()) << i;
      EXPECT_TRUE(at::allclose(cuda[i].cpu(), cpu[i], tolerance, tolerance)) << "result " << i;
    }
  }

 private:
  static Tensors evaluate(const Tensors& leaves, const std::function<Tensors(const Tensors&)>& call,
                          c10::Device device) {
    Tensors own;
    for (const at::Tensor& t : leaves) {
      own.push_back(t.to(device).detach().clone().set_requires_grad(t.is_floating_point()));
    }
    Tensors results = call(own);
    at::Tensor loss = at::zeros({}, at::TensorOptions().device(device));
    for (const at::Tensor& t : results) {
      if (t.requires_grad()) loss = loss + t.to(at::kFloat).square().sum();
    }
    if (loss.requires_grad()) loss.backward();
    for (const at::Tensor& t : own) {
      if (t.grad().defined()) results.push_back(t.grad());
    }
    return results;
  }
};

TEST_P(SameNumbers, Products) {
  compare({random({6, 8}), random({8, 5}), random({5})}, [](const Tensors& t) {
    return Tensors{at::mm(t[0], t[1]),
                   at::addmm(t[2], t[0], t[1]),
                   at::linear(t[0], t[1].t(), t[2]),
                   at::bmm(t[0].view({2, 3, 8}), t[1].expand({2, 8, 5})),
                   at::matmul(t[0], t[1]).softmax(-1),
                   t[0].t()};
  });
}

TEST_P(SameNumbers, Convolution) {
  const double tolerance = GetParam() == at::kFloat ? 1e-4 : 5e-2;  // another algorithm
  compare(
      {random({2, 3, 8, 8}), random({4, 3, 4, 4}), random({4})},
      [](const Tensors& t) {
        return Tensors{at::conv2d(t[0], t[1], t[2], 4).flatten(2).transpose(1, 2)};
      },
      tolerance);
}

TEST_P(SameNumbers, Attention) {
  const bool is_causal = GetParam() == at::kFloat;
  compare({random({2, 2, 6, 8}), random({2, 2, 6, 8}), random({2, 2, 6, 8})},
          [&](const Tensors& t) {
            return Tensors{at::scaled_dot_product_attention(t[0], t[1], t[2], {}, 0.0, is_causal)};
          });
  const FakeCuda fake;
  const char* name = GetParam() == at::kFloat ? "aten::_scaled_dot_product_efficient_attention"
                                              : "aten::_scaled_dot_product_flash_attention";
  EXPECT_GT(fake.count(name), 0U);
  EXPECT_GT(fake.count((std::string(name) + "_backward").c_str()), 0U);
}

TEST_P(SameNumbers, LayerNorm) {
  const double tolerance = GetParam() == at::kFloat ? 1e-6 : 2e-2;
  compare(
      {random({6, 8}), random({8}), random({8})},
      [](const Tensors& t) { return Tensors{at::layer_norm(t[0], {8}, t[1], t[2], 1e-5)}; },
      tolerance);
}

TEST_P(SameNumbers, RowsByIndex) {
  const at::Tensor ids = at::tensor({2, 0, 2, 5}, at::kLong);
  compare({random({6, 8}), ids, random({4, 8})}, [](const Tensors& t) {
    at::Tensor put = at::zeros_like(t[0]);
    put.index_put_({t[1]}, t[2], /*accumulate=*/true);
    return Tensors{t[0].index_select(0, t[1]),
                   at::embedding(t[0], t[1]),
                   t[0].index({t[1]}),
                   t[0].gather(0, t[1].view({4, 1}).expand({4, 8})),
                   t[0].index({t[0].select(1, 0) > 0}),
                   put,
                   t[0].narrow(0, 1, 3).unfold(1, 4, 2),
                   at::cat({t[0], t[2]}),
                   t[0].argmax(1),
                   std::get<0>(t[0].topk(3, 1))};
  });
}

TEST_P(SameNumbers, Activations) {
  compare({random({5, 7})}, [](const Tensors& t) {
    return Tensors{at::gelu(t[0], "tanh"),
                   at::silu(t[0]),
                   t[0] * at::sigmoid(t[0] * 1.702),
                   at::log_softmax(t[0], 1),
                   at::logsumexp(t[0], 1),
                   at::linalg_vector_norm(t[0], 2, at::IntArrayRef{1}, true),
                   t[0].t().contiguous(),
                   t[0].clone().mul_(2).add_(t[0]),
                   t[0].mean(0),
                   std::get<0>(t[0].max(1))};
  });
}

TEST_P(SameNumbers, ListsOfTensors) {
  compare({random({4, 3}), random({7})}, [](const Tensors& t) {
    Tensors own{t[0].detach().clone(), t[1].detach().clone()};
    at::_foreach_mul_(own, 0.5);
    at::_foreach_add_(own, {t[0].detach(), t[1].detach()}, 0.25);
    Tensors copies{at::empty_like(own[0], at::kFloat), at::empty_like(own[1], at::kFloat)};
    at::_foreach_copy_(copies, own);
    for (const at::Tensor& norm : at::_foreach_norm(own)) copies.push_back(norm);
    return copies;
  });
}

TEST_P(SameNumbers, FusedAdam) {
  compare({random({4, 3}), random({4, 3})}, [](const Tensors& t) {
    const Tensors p{t[0].detach().clone()}, g{t[1].detach().clone()};
    const Tensors m{at::zeros_like(p[0])}, v{at::zeros_like(p[0])};
    const Tensors steps{at::ones({}, p[0].options().dtype(at::kFloat))};
    at::_fused_adam_(p, g, m, v, {}, steps, 0.1, 0.9, 0.99, 0.01, 1e-8, false, false);
    return Tensors{p[0], m[0], v[0]};
  });
}

INSTANTIATE_TEST_SUITE_P(Dtypes, SameNumbers, ::testing::Values(at::kFloat, at::kBFloat16));

TEST(SameNumbersToo, ProductsWithAnotherResultType) {
  if (!FakeCuda().is_there()) GTEST_SKIP() << "the fake device is not preloaded";
  const at::Tensor a = at::randn({3, 4}).to(at::kBFloat16), b = at::randn({4, 5}).to(at::kBFloat16);
  const at::Tensor y = at::mm(a.to(kCuda), b.to(kCuda), at::kFloat);
  EXPECT_TRUE(at::equal(y.cpu(), at::mm(a.to(at::kFloat), b.to(at::kFloat))));
}

}  // namespace
}  // namespace saferclip
