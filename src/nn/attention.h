// Scaled dot-product self-attention over a fused projection. Legend: B batch, L tokens, H heads, D
// width, d = D / H.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace saferclip {

struct AttentionShape {
  std::int64_t batch = 0;
  std::int64_t length = 0;
  std::int64_t heads = 1;
  bool is_causal = false;
  bool keeps_weights = true;  // for the backward pass, which else makes them again (CPU)
};

// softmax(Q·Kᵀ/√d)·V of qkv [B·L, 3D], rows q, k, v of each token side by side; [B·L, D]. On a CPU
// batched products and one softmax pass, since LibTorch's fused attention takes three times as long
// there for short sequences (its backward pass makes small products one by one). On a GPU
// LibTorch's, which keeps no weights.
at::Tensor self_attention(const at::Tensor& qkv, const AttentionShape& shape);

}  // namespace saferclip
