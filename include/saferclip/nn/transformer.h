// Pre-LN transformer blocks as the towers of CLIP and SigLIP use them. Legend: B batch, L tokens, D
// width.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "saferclip/nn/linear.h"

namespace saferclip {

enum class Activation { kQuickGelu, kGelu, kGeluTanh };
// QuickGELU is x·σ(1.702x). Hugging Face's words: "quick_gelu" | "gelu" | "gelu_pytorch_tanh".
std::string to_string(Activation activation);

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

// x [B, L, D] through all blocks; result [B, D], row i at token rows[i] (rows [B] int64). Every
// token is needed up to the attention of the last block; its projection and MLP run on the picked
// row alone.
at::Tensor transformer_rows(const Transformer& transformer, const at::Tensor& x,
                            const at::Tensor& rows, const ForwardMode& mode);

// All tokens [B, L, D]: what parity tests look at, layer by layer (`layers` first blocks).
at::Tensor transformer_tokens(const Transformer& transformer, const at::Tensor& x,
                              std::size_t layers, const ForwardMode& mode);

}  // namespace saferclip
