// The MLP's activations, forward and backward, without autograd.
#pragma once

#include <ATen/core/Tensor.h>

#include "saferclip/nn/transformer.h"

namespace saferclip {

struct Activated {
  at::Tensor value;  // activation(x), a new tensor
  at::Tensor kept;   // what the backward pass reads: x, or a multiple of it
};
// x [N, I] contiguous.
Activated activate(Activation activation, const at::Tensor& x);

// dy ∘ activation'(x); may reuse the memory of dy. Unless null, `value` receives activation(x),
// which costs less here than on its own.
at::Tensor activation_backward(Activation activation, at::Tensor dy, const at::Tensor& kept,
                               at::Tensor* value);

}  // namespace saferclip
