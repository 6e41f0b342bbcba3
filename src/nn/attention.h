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
  bool keeps_weights = true;  // on a CPU; if false the backward pass recomputes them
};

// softmax(Q·Kᵀ/√d)·V of qkv [B·L, 3D], where a row holds a token's q, k and v side by side;
// [B·L, D]. A CPU takes batched products and one softmax pass: LibTorch's fused attention needs
// three times as long there for short sequences. A GPU takes LibTorch's, which keeps no weights.
at::Tensor self_attention(const at::Tensor& qkv, const AttentionShape& shape);

}  // namespace saferclip
