// Multi-head attention pooling (MAP): a learned probe attends to all tokens. SigLIP's vision head
// (arXiv 2303.15343; transformers' SiglipMultiheadAttentionPoolingHead). Legend: B batch, L tokens,
// D width.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "saferclip/nn/transformer.h"

namespace saferclip {

struct AttentionPool {
  at::Tensor probe;  // [D], the one query
  Linear in;         // [3D, D]: rows of q, k, v; without adapters
  Linear out;        // [D, D]; without adapters
  LayerNorm norm;
  Linear fc1;  // [mlp, D]
  Linear fc2;  // [D, mlp]
  std::int64_t heads = 1;
  Activation activation = Activation::kGeluTanh;
};

// y + MLP(norm(y)), where y is the probe's attention over x [B, L, D] in mode.compute; [B, D].
at::Tensor attention_pool(const AttentionPool& pool, const at::Tensor& x, const ForwardMode& mode);

}  // namespace saferclip
