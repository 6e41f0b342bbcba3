// The sublayers of a transformer block around its attention, as autograd functions that keep what
// is expensive to compute (inputs, pre-activations) and recompute what is cheap (norms,
// activations). Legend: N rows (batch x tokens), I inputs, O outputs.
#pragma once

#include <ATen/core/Tensor.h>

#include "saferclip/nn/transformer.h"

namespace saferclip {

// linear(norm(x)) + addend, x [N, I] contiguous in mode.compute, result [N, O]. A norm without
// weight is the identity; `addend` [N, O] may be undefined.
at::Tensor norm_linear(const LayerNorm& norm, const Linear& layer, const at::Tensor& x,
                       const at::Tensor& addend, const ForwardMode& mode);

// x + fc2(activation(fc1(norm(x)))), x [N, I] contiguous in mode.compute.
at::Tensor residual_mlp(Activation activation, const LayerNorm& norm, const Linear& fc1,
                        const Linear& fc2, const at::Tensor& x, const ForwardMode& mode);

}  // namespace saferclip
