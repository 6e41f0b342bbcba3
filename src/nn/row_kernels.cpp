// Splits tensors into ranges of rows for LibTorch's threads and hands their memory to the loops of
// row_loops.cpp, which know neither tensors nor threads. A row is never split, so results do not
// depend on the number of threads.
#include "nn/row_kernels.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>

#include "nn/row_loops.h"

namespace saferclip {
namespace {

constexpr std::int64_t kElementGrain = 16384;  // least elements worth a thread

template <class T>
T* data_of(const at::Tensor& t) {
  return static_cast<T*>(t.mutable_data_ptr());
}

// Calls `run` with a value of the tensor's element type.
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
  return {data_of<float>(weight), data_of<float>(bias), data_of<float>(mean), data_of<float>(rstd)};
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
      run_quick_gelu(data_of<T>(x) + begin, data_of<T>(y) + begin, end - begin);
    });
  });
  return y;
}

void quick_gelu_backward_(at::Tensor& gradient, const at::Tensor& x, at::Tensor value) {
  with_type(x, [&]<class T>(T) {
    at::parallel_for(0, x.numel(), kElementGrain, [&](std::int64_t begin, std::int64_t end) {
      run_quick_gelu_gradient(data_of<T>(gradient) + begin, data_of<T>(x) + begin,
                              value.defined() ? data_of<T>(value) + begin : nullptr, end - begin);
    });
  });
}

void attention_softmax_(at::Tensor& scores, double scale, bool is_causal) {
  run_over_rows(scores, [&]<class T>(T, const Rows& rows) {
    const at::Tensor buffer = at::empty({rows.length + kRowLanes}, at::kFloat);
    run_softmax(data_of<T>(scores), rows, static_cast<float>(scale), is_causal,
                buffer.mutable_data_ptr<float>());
  });
}

void attention_softmax_backward_(at::Tensor& gradient, const at::Tensor& weights, double scale) {
  run_over_rows(gradient, [&]<class T>(T, const Rows& rows) {
    run_softmax_gradient(data_of<T>(gradient), data_of<T>(weights), rows,
                         static_cast<float>(scale));
  });
}

NormedRows norm_rows(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                     double eps) {
  const at::TensorOptions statistics = x.options().dtype(at::kFloat);
  NormedRows out{at::empty_like(x), at::empty({x.size(0), 1}, statistics),
                 at::empty({x.size(0), 1}, statistics)};
  const auto fp32_eps = static_cast<float>(eps);
  run_over_rows(x, [&]<class T>(T, const Rows& rows) {
    run_norm(data_of<T>(x), data_of<T>(out.y), norm_values(weight, bias, out.mean, out.rstd), rows,
             &fp32_eps);
  });
  return out;
}

at::Tensor recompute_norm_rows(const at::Tensor& x, const at::Tensor& weight,
                               const at::Tensor& bias, const at::Tensor& mean,
                               const at::Tensor& rstd) {
  at::Tensor y = at::empty_like(x);
  run_over_rows(x, [&]<class T>(T, const Rows& rows) {
    run_norm(data_of<T>(x), data_of<T>(y), norm_values(weight, bias, mean, rstd), rows, nullptr);
  });
  return y;
}

void norm_rows_backward_(at::Tensor& gradient, const at::Tensor& x, const at::Tensor& weight,
                         const at::Tensor& mean, const at::Tensor& rstd, const at::Tensor& addend) {
  run_over_rows(x, [&]<class T>(T, const Rows& rows) {
    run_norm_gradient(data_of<T>(gradient), data_of<T>(x),
                      addend.defined() ? data_of<T>(addend) : nullptr,
                      norm_values(weight, weight, mean, rstd), rows);
  });
}

}  // namespace saferclip
