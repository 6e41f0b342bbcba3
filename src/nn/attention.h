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
};

// softmax(Q·Kᵀ/√d)·V of qkv [B·L, 3D], rows q, k, v of each token side by side; [B·L, D]. On a CPU
// batched products and one softmax pass, since LibTorch's fused attention takes three times as long
// there for short sequences (its backward pass makes small products one by one); the weights are
// kept for the backward pass where L ≤ d and made again where they would be larger than Q. On a GPU
// LibTorch's.
at::Tensor self_attention(const at::Tensor& qkv, const AttentionShape& shape);

}  // namespace saferclip
