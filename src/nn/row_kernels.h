// Element- and row-wise passes over contiguous CPU tensors, fp32 or bf16 in memory and fp32 in
// registers, each one pass over memory where a chain of ATen operators makes several. Without a
// backward pass: for the autograd functions of this room. Legend: N rows, L row length.
#pragma once

#include <ATen/core/Tensor.h>

namespace saferclip {

// Whether the kernels below take this tensor: CPU, contiguous, fp32 or bf16.
bool has_row_kernels(const at::Tensor& x);

// x·σ(1.702x) into a new tensor.
at::Tensor quick_gelu(const at::Tensor& x);

// gradient ← gradient · d/dx x·σ(1.702x), in place; where `value` is defined, x·σ(1.702x) goes
// there.
void quick_gelu_backward_(at::Tensor& gradient, const at::Tensor& x, at::Tensor value = {});

// scores [N, L] ← softmax(scale · scores) by rows, in place. Causal: row i of each L rows sees the
// columns 0 … i, the rest becomes 0.
void attention_softmax_(at::Tensor& scores, double scale, bool is_causal);

// gradient [N, L] ← scale · weights · (gradient - Σ weights · gradient) by rows, in place: from the
// gradient of the softmax's result to that of the unscaled scores.
void attention_softmax_backward_(at::Tensor& gradient, const at::Tensor& weights, double scale);

// LayerNorm over rows [N, L] with fp32 weight and bias [L]; mean and 1/deviation [N, 1] in fp32.
struct NormedRows {
  at::Tensor y;
  at::Tensor mean;
  at::Tensor rstd;
};
NormedRows norm_rows(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                     double eps);
// y once more, from the statistics.
at::Tensor norm_rows_again(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                           const at::Tensor& mean, const at::Tensor& rstd);
// gradient of y ← gradient of x, in place, plus `addend` where defined.
void norm_rows_backward_(at::Tensor& gradient, const at::Tensor& x, const at::Tensor& weight,
                         const at::Tensor& mean, const at::Tensor& rstd,
                         const at::Tensor& addend = {});

}  // namespace saferclip
