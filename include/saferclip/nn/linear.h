// A linear layer, frozen or trained, with low-rank adapters (LoRA, arXiv 2106.09685) on some or all
// of its output rows. Legend: N rows (batch x tokens), I inputs, O outputs, r rank.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "saferclip/core/stop.h"

namespace saferclip {

// What the backward pass makes again instead of keeping it: nothing; the attention weights [H, L,
// L] of the CPU's attention; everything between the inputs of two blocks (gradient checkpointing,
// arXiv 1604.06174). The results are the same to the bit.
enum class Recompute { kNothing, kAttention, kBlocks };

// What a forward pass needs to know besides its inputs.
struct ForwardMode {
  at::ScalarType compute = at::kFloat;  // fp32 or bf16: dtype of activations and matrix products
  bool is_training = false;             // dropout acts
  std::uint64_t dropout_key = 0;        // randomness of this step; masks are a function of it
  const StopFlag* stop = nullptr;  // asked between layers, both ways; Interrupted leaves the pass
  Recompute recompute = Recompute::kNothing;
};

// The adapter of output rows [row, row + rows): W + scaling · B A. Leaves, fp32.
struct LoraSegment {
  std::string module;  // Hugging Face module path, e.g. "text_model.encoder.layers.0.mlp.fc1"
  at::Tensor a;        // [r, I]
  at::Tensor b;        // [rows, r]
  std::int64_t row = 0;
  std::int64_t rows = 0;
};

struct Linear {
  at::Tensor weight;  // [O, I], fp32, or bf16 when frozen in a bf16 run; packed: shape alone (meta)
  at::Tensor bias;    // [O] or undefined
  std::vector<LoraSegment> lora;
  double lora_scaling = 0;  // alpha / r
  double lora_dropout = 0;
  std::uint64_t site = 0;  // tells the dropout masks of two layers apart
  at::Tensor packed;       // undefined, or what pack_frozen made of W
  at::Tensor packed_transpose;
};

// y = x Wᵀ + b, with adapters y[:, segment] += scaling · (dropout(x) Aᵀ) Bᵀ; x [..., I] in
// mode.compute, result [..., O]. Never by a merged weight, since merging into bf16 rounds a small
// update away. Throws Error where a layer with adapters would train its weight as well.
at::Tensor linear(const Linear& layer, const at::Tensor& x, const ForwardMode& mode);

// For a frozen layer that makes many products with about `rows` rows in `compute`: keeps W and its
// transpose in the order that forward and backward products read (core/matmul), and gives up W
// itself, whose values cannot be read any more. Does nothing for a weight that is trained, is of
// another dtype, or has no such order.
void pack_frozen(Linear& layer, std::int64_t rows, at::ScalarType compute);

// W + scaling · B A over all segments, fp32, for evaluation and export.
at::Tensor merged_weight(const Linear& layer);

}  // namespace saferclip
