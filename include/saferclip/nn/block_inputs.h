// What the output products of a transformer's blocks read: the attended tokens and the MLP's hidden
// ones. For scores of single weights; without autograd and adapters.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <functional>

#include "saferclip/nn/transformer.h"

namespace saferclip {

// `attended` [B, L, D] goes into the block's `out`, `hidden` [B, L, mlp] into its `fc2`.
using SeeBlockInputs =
    std::function<void(std::size_t block, const at::Tensor& attended, const at::Tensor& hidden)>;

// x [B, L, D] through all blocks.
void see_block_inputs(const Transformer& transformer, const at::Tensor& x, const ForwardMode& mode,
                      const SeeBlockInputs& see);

}  // namespace saferclip
