// Gradient checkpointing (arXiv 1604.06174): only the input of a block of the model is kept, and
// the backward pass runs the block again.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>

#include "saferclip/core/stop.h"

namespace saferclip {

// block(x), whose backward pass calls `block` a second time; it must compute the same values then.
// Gradients of the leaves inside it accumulate as usual. `leaf` is one of them, or undefined when
// nothing inside is trained. Throws Interrupted once `stop` is set.
at::Tensor recomputed(const std::function<at::Tensor(const at::Tensor&)>& block,
                      const at::Tensor& x, const at::Tensor& leaf, const StopFlag* stop);

}  // namespace saferclip
