// Element-wise and row-wise operators on contiguous CPU tensors, fp32 or bf16 in memory and fp32 in
// registers: one pass over memory where a chain of ATen operators makes several. They record
// nothing for autograd; this room's autograd functions call them. Legend: N rows, L row length.
#pragma once

#include <ATen/core/Tensor.h>

namespace saferclip {

// Whether the kernels below take this tensor: CPU, contiguous, fp32 or bf16.
bool has_row_kernels(const at::Tensor& x);

// x·σ(1.702x) into a new tensor.
at::Tensor quick_gelu(const at::Tensor& x);

// gradient ← gradient · d/dx x·σ(1.702x), in place. Writes x·σ(1.702x) to `value` if defined.
void quick_gelu_backward_(at::Tensor& gradient, const at::Tensor& x, at::Tensor value = {});

// scores [..., L] ← softmax(scale · scores) by rows, in place. Causal: of each L rows, row i keeps
// columns 0 … i, the rest becomes 0.
void attention_softmax_(at::Tensor& scores, double scale, bool is_causal);

// gradient [..., L] ← scale · weights ∘ (gradient - Σ weights ∘ gradient) by rows, in place: from
// the gradient of the softmax's result to that of the unscaled scores.
void attention_softmax_backward_(at::Tensor& gradient, const at::Tensor& weights, double scale);

// LayerNorm over rows [N, L] with fp32 weight and bias [L]; mean and rstd =
// 1/√(variance + eps) [N, 1] in fp32.
struct NormedRows {
  at::Tensor y;
  at::Tensor mean;
  at::Tensor rstd;
};
NormedRows norm_rows(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                     double eps);
// y again, from the statistics.
at::Tensor recompute_norm_rows(const at::Tensor& x, const at::Tensor& weight,
                               const at::Tensor& bias, const at::Tensor& mean,
                               const at::Tensor& rstd);
// gradient: of y ← of x, in place, plus `addend` if defined.
void norm_rows_backward_(at::Tensor& gradient, const at::Tensor& x, const at::Tensor& weight,
                         const at::Tensor& mean, const at::Tensor& rstd,
                         const at::Tensor& addend = {});

}  // namespace saferclip
