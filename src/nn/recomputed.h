// Gradient checkpointing (arXiv 1604.06174): of a part of the model only the input is kept, the
// backward pass runs it again.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>

#include "saferclip/core/stop.h"

namespace saferclip {

// part(x), whose backward pass calls `part` a second time; it must give the same values then. The
// gradients of the leaves inside it are accumulated as usual. `leaf` is one of them, or undefined
// when nothing inside is trained.
at::Tensor recomputed(const std::function<at::Tensor(const at::Tensor&)>& part, const at::Tensor& x,
                      const at::Tensor& leaf, const StopFlag* stop);

}  // namespace saferclip
