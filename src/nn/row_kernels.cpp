#include "nn/row_kernels.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>

#include "nn/row_loops.h"

namespace saferclip {
namespace {

constexpr std::int64_t kElementGrain = 16384;

template <class T>
T* bits(const at::Tensor& t) {
  return static_cast<T*>(t.mutable_data_ptr());
}

// Calls `run` with a value of the type that the tensor is made of.
template <class Run>
void with_type(const at::Tensor& t, const Run& run) {
  if (t.scalar_type() == at::kBFloat16) {
    run(Bf16{});
  } else {
    run(float{});
  }
}

}  // namespace

bool has_row_kernels(const at::Tensor& x) {
  return x.is_cpu() && x.is_contiguous() &&
         (x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16);
}

at::Tensor quick_gelu(const at::Tensor& x) {
  at::Tensor y = at::empty_like(x);
  with_type(x, [&]<class T>(T) {
    at::parallel_for(0, x.numel(), kElementGrain, [&](std::int64_t begin, std::int64_t end) {
      run_gelu(bits<T>(x) + begin, bits<T>(y) + begin, end - begin);
    });
  });
  return y;
}

void quick_gelu_backward_(at::Tensor& gradient, const at::Tensor& x, at::Tensor value) {
  with_type(x, [&]<class T>(T) {
    at::parallel_for(0, x.numel(), kElementGrain, [&](std::int64_t begin, std::int64_t end) {
      run_gelu_gradient(bits<T>(gradient) + begin, bits<T>(x) + begin,
                        value.defined() ? bits<T>(value) + begin : nullptr, end - begin);
    });
  });
}

void attention_softmax_(at::Tensor& scores, double scale, bool is_causal) {
  const std::int64_t length = scores.size(-1);
  const std::int64_t grain = std::max<std::int64_t>(1, kElementGrain / length);
  with_type(scores, [&]<class T>(T) {
    at::parallel_for(0, scores.numel() / length, grain, [&](std::int64_t begin, std::int64_t end) {
      const at::Tensor buffer = at::empty({length + kRowLanes}, at::kFloat);  // aligned
      run_softmax(bits<T>(scores), {begin, end, length}, static_cast<float>(scale), is_causal,
                  buffer.mutable_data_ptr<float>());
    });
  });
}

void attention_softmax_backward_(at::Tensor& gradient, const at::Tensor& weights, double scale) {
  const std::int64_t length = gradient.size(-1);
  const std::int64_t grain = std::max<std::int64_t>(1, kElementGrain / length);
  with_type(gradient, [&]<class T>(T) {
    at::parallel_for(0, gradient.numel() / length, grain,
                     [&](std::int64_t begin, std::int64_t end) {
                       run_softmax_gradient(bits<T>(gradient), bits<T>(weights),
                                            {begin, end, length}, static_cast<float>(scale));
                     });
  });
}

}  // namespace saferclip
