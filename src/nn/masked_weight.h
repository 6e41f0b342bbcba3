// The weight of a layer with masks, as its products read it.
#pragma once

#include <ATen/core/Tensor.h>

#include "saferclip/nn/linear.h"

namespace saferclip {

// `weight`, the layer's in any dtype, with its masked weights off. Call it without recording.
at::Tensor masked_weight(const Linear& layer, const at::Tensor& weight);

// The same as a node of the graph, through which the scores get their gradient.
at::Tensor trained_masked_weight(const Linear& layer, const at::Tensor& weight);

}  // namespace saferclip
