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

// Calls `run` with a value of the element type and a range of the rows of x [N, L].
template <class Run>
void run_over_rows(const at::Tensor& x, const Run& run) {
  const std::int64_t length = x.size(-1);
  if (x.numel() == 0) return;
  const std::int64_t grain = std::max<std::int64_t>(1, kElementGrain / length);
  with_type(x, [&]<class T>(T) {
    at::parallel_for(0, x.numel() / length, grain, [&](std::int64_t begin, std::int64_t end) {
      run(T{}, Rows{begin, end, length});
    });
  });
}

NormValues norm_values(const at::Tensor& weight, const at::Tensor& bias, const at::Tensor& mean,
                       const at::Tensor& rstd) {
  return {bits<float>(weight), bits<float>(bias), bits<float>(mean), bits<float>(rstd)};
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
  run_over_rows(scores, [&]<class T>(T, const Rows& rows) {
    const at::Tensor buffer = at::empty({rows.length + kRowLanes}, at::kFloat);  // aligned
    run_softmax(bits<T>(scores), rows, static_cast<float>(scale), is_causal,
                buffer.mutable_data_ptr<float>());
  });
}

void attention_softmax_backward_(at::Tensor& gradient, const at::Tensor& weights, double scale) {
  run_over_rows(gradient, [&]<class T>(T, const Rows& rows) {
    run_softmax_gradient(bits<T>(gradient), bits<T>(weights), rows, static_cast<float>(scale));
  });
}

NormedRows norm_rows(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                     double eps) {
  const at::TensorOptions statistics = x.options().dtype(at::kFloat);
  NormedRows out{at::empty_like(x), at::empty({x.size(0), 1}, statistics),
                 at::empty({x.size(0), 1}, statistics)};
  const auto fp32_eps = static_cast<float>(eps);
  run_over_rows(x, [&]<class T>(T, const Rows& rows) {
    run_norm(bits<T>(x), bits<T>(out.y), norm_values(weight, bias, out.mean, out.rstd), rows,
             &fp32_eps);
  });
  return out;
}

at::Tensor norm_rows_again(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                           const at::Tensor& mean, const at::Tensor& rstd) {
  at::Tensor y = at::empty_like(x);
  run_over_rows(x, [&]<class T>(T, const Rows& rows) {
    run_norm(bits<T>(x), bits<T>(y), norm_values(weight, bias, mean, rstd), rows, nullptr);
  });
  return y;
}

void norm_rows_backward_(at::Tensor& gradient, const at::Tensor& x, const at::Tensor& weight,
                         const at::Tensor& mean, const at::Tensor& rstd, const at::Tensor& addend) {
  run_over_rows(x, [&]<class T>(T, const Rows& rows) {
    run_norm_gradient(bits<T>(gradient), bits<T>(x), addend.defined() ? bits<T>(addend) : nullptr,
                      norm_values(weight, weight, mean, rstd), rows);
  });
}

}  // namespace saferclip
