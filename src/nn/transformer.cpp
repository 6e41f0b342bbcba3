// A block is four nodes: norm and qkv projection, attention, output projection, MLP. They work on
// rows [B·L, D], so no sublayer reshapes. In the last block only the picked token of each sequence
// goes through the output projection and the MLP, because the towers read no other; its attention
// still needs all tokens.
#include "saferclip/nn/transformer.h"

#include <ATen/ATen.h>

#include "nn/attention.h"
#include "nn/recomputed.h"
#include "nn/sublayers.h"

namespace saferclip {
namespace {

// Attention's result before the output projection, from the block's input x [B·L, D].
at::Tensor attend(const Block& block, const at::Tensor& x, const AttentionShape& shape,
                  const ForwardMode& mode) {
  return self_attention(norm_linear(block.norm1, block.qkv, x, {}, mode), shape);
}

// The rest of the block; x is its input, for the residual.
at::Tensor finish(const Transformer& transformer, const Block& block, const at::Tensor& attended,
                  const at::Tensor& x, const ForwardMode& mode) {
  const at::Tensor y = norm_linear({}, block.out, attended, x, mode);
  return residual_mlp(transformer.activation, block.norm2, block.fc1, block.fc2, y, mode);
}

AttentionShape shape_of(const Transformer& transformer, const at::Tensor& x,
                        const ForwardMode& mode) {
  return {x.size(0), x.size(1), transformer.heads, transformer.is_causal,
          mode.recompute != Recompute::kAttention};
}

// Some trained tensor of the block, undefined when none is.
at::Tensor trained_leaf(const Block& block) {
  for (const LayerNorm* norm : {&block.norm1, &block.norm2}) {
    if (norm->weight.requires_grad()) return norm->weight;
  }
  for (const Linear* layer : {&block.qkv, &block.out, &block.fc1, &block.fc2}) {
    if (layer->weight.requires_grad()) return layer->weight;
    if (!layer->lora.empty()) return layer->lora.front().b;
    if (!layer->masks.empty()) return layer->masks.front().scores;
  }
  return {};
}

// The first `layers` blocks on x [B·L, D].
at::Tensor run_blocks(const Transformer& transformer, at::Tensor x, std::size_t layers,
                      const AttentionShape& shape, const ForwardMode& mode) {
  for (std::size_t i = 0; i < layers; ++i) {
    const Block& block = transformer.blocks[i];
    const auto run = [&transformer, &block, shape, mode](const at::Tensor& input) {
      return finish(transformer, block, attend(block, input, shape, mode), input, mode);
    };
    x = mode.recompute == Recompute::kBlocks ? recomputed(run, x, trained_leaf(block), mode.stop)
                                             : run(x);
  }
  return x;
}

at::Tensor flat(const at::Tensor& x) { return x.reshape({-1, x.size(-1)}); }

}  // namespace

at::Tensor layer_norm(const LayerNorm& norm, const at::Tensor& x) {
  // The CPU's kernel takes fp32 weights with bf16 activations; CUDA's needs one dtype.
  const bool is_widened = !x.is_cpu() && norm.weight.scalar_type() != x.scalar_type();
  return at::layer_norm(is_widened ? x.to(norm.weight.dtype()) : x, {x.size(-1)}, norm.weight,
                        norm.bias, norm.eps)
      .to(x.dtype());
}

at::Tensor feed_forward(Activation activation, const LayerNorm& norm, const Linear& fc1,
                        const Linear& fc2, const at::Tensor& x, const ForwardMode& mode) {
  return residual_mlp(activation, norm, fc1, fc2, flat(x), mode).view(x.sizes());
}

at::Tensor transformer_rows(const Transformer& transformer, const at::Tensor& x,
                            const at::Tensor& rows, const ForwardMode& mode) {
  const AttentionShape shape = shape_of(transformer, x, mode);
  const at::Tensor tokens =
      run_blocks(transformer, flat(x), transformer.blocks.size() - 1, shape, mode);
  const Block& last = transformer.blocks.back();
  const at::Tensor picked = at::arange(shape.batch, rows.options()) * shape.length + rows;
  const at::Tensor attended = attend(last, tokens, shape, mode).index_select(0, picked);
  return finish(transformer, last, attended, tokens.index_select(0, picked), mode);
}

at::Tensor transformer_tokens(const Transformer& transformer, const at::Tensor& x,
                              std::size_t layers, const ForwardMode& mode) {
  return run_blocks(transformer, flat(x), layers, shape_of(transformer, x, mode), mode)
      .view(x.sizes());
}

}  // namespace saferclip
