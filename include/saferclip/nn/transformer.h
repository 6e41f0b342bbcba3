// The pre-norm transformer blocks of the CLIP and SigLIP towers. Legend: B batch, L tokens, D
// width.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "saferclip/nn/activation.h"
#include "saferclip/nn/linear.h"

namespace saferclip {

struct LayerNorm {
  at::Tensor weight;  // [D]
  at::Tensor bias;    // [D]
  double eps = 1e-5;
};
// Statistics in fp32, result in the dtype of x.
at::Tensor layer_norm(const LayerNorm& norm, const at::Tensor& x);

// x + fc2(activation(fc1(norm(x)))), x [..., D] in mode.compute.
at::Tensor feed_forward(Activation activation, const LayerNorm& norm, const Linear& fc1,
                        const Linear& fc2, const at::Tensor& x, const ForwardMode& mode);

struct Block {
  LayerNorm norm1;
  Linear qkv;  // [3D, D], rows q, k, v
  Linear out;  // [D, D]
  LayerNorm norm2;
  Linear fc1;  // [mlp, D]
  Linear fc2;  // [D, mlp]
};

struct Transformer {
  std::vector<Block> blocks;
  std::int64_t heads = 1;
  Activation activation = Activation::kQuickGelu;
  bool is_causal = false;
};

// x [B, L, D] through all blocks; result [B, D], of sequence i the token rows[i] (int64 [B]). The
// last block runs its output projection and MLP on these tokens only.
at::Tensor transformer_rows(const Transformer& transformer, const at::Tensor& x,
                            const at::Tensor& rows, const ForwardMode& mode);

// All tokens [B, L, D] after the first `layers` blocks, for layer-by-layer parity tests.
at::Tensor transformer_tokens(const Transformer& transformer, const at::Tensor& x,
                              std::size_t layers, const ForwardMode& mode);

}  // namespace saferclip
