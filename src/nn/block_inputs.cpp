// The blocks of transformer.cpp once more, cut open before their output products.
#include "saferclip/nn/block_inputs.h"

#include <ATen/ATen.h>

#include "nn/activation.h"
#include "nn/attention.h"
#include "nn/sublayers.h"

namespace saferclip {

void see_block_inputs(const Transformer& transformer, const at::Tensor& x, const ForwardMode& mode,
                      const SeeBlockInputs& see) {
  const AttentionShape shape{x.size(0), x.size(1), transformer.heads, transformer.is_causal};
  const auto tokens = [&shape](const at::Tensor& rows) {
    return rows.view({shape.batch, shape.length, -1});
  };
  at::Tensor rows = x.reshape({-1, x.size(-1)});
  for (std::size_t i = 0; i < transformer.blocks.size(); ++i) {
    const Block& block = transformer.blocks[i];
    throw_if_stopped(mode.stop, "stopped");
    const at::Tensor attended =
        self_attention(norm_linear(block.norm1, block.qkv, rows, {}, mode), shape);
    const at::Tensor middle = norm_linear({}, block.out, attended, rows, mode);
    const at::Tensor hidden =
        activate(transformer.activation, norm_linear(block.norm2, block.fc1, middle, {}, mode))
            .value;
    see(i, tokens(attended), tokens(hidden));
    rows = norm_linear({}, block.fc2, hidden, middle, mode);
  }
}

}  // namespace saferclip
