// A linear layer, frozen or trained, with low-rank adapters (LoRA, arXiv 2106.09685) or masks
// (arXiv 2307.15049) on some or all of its output rows. Legend: N rows (batch x tokens), I inputs,
// O outputs, r rank.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "saferclip/core/stop.h"
#include "saferclip/nn/compute_copies.h"
#include "saferclip/nn/recompute.h"

namespace saferclip {

// The settings of a forward pass.
struct ForwardMode {
  at::ScalarType compute = at::kFloat;  // fp32, bf16 or fp16, of activations and products
  bool is_training = false;             // dropout is active
  std::uint64_t dropout_key = 0;        // of this step; masks are a function of it
  const StopFlag* stop = nullptr;       // checked between layers in both passes; throws Interrupted
  Recompute recompute = Recompute::kNothing;
  ComputeCopies* copies = nullptr;  // null: each pass casts for itself
};

// The tensor in mode.compute: its copy, or a cast.
at::Tensor in_compute(const at::Tensor& tensor, const ForwardMode& mode);

// The adapter of output rows [row, row + rows): W + scaling · B A there. a and b: fp32 leaves.
struct LoraSegment {
  std::string module;  // Hugging Face module path, e.g. "text_model.encoder.layers.0.mlp.fc1"
  at::Tensor a;        // [r, I]
  at::Tensor b;        // [rows, r]
  std::int64_t row = 0;
  std::int64_t rows = 0;
};

// Of output rows [row, row + rows): scores [rows, I], fp32, a leaf, that say which weights are on.
struct MaskSegment {
  at::Tensor scores;
  std::int64_t row = 0;
  std::int64_t rows = 0;
};
// A weight is on where its score is above the threshold, and off_value · W elsewhere.
struct MaskRule {
  double threshold = 0;
  double off_value = 0;
};

struct Linear {
  at::Tensor weight;  // [O, I]: fp32; bf16 if frozen in a bf16 run; meta (shape only) if packed
  at::Tensor bias;    // [O] or undefined
  std::vector<LoraSegment> lora;
  double lora_scaling = 0;  // alpha / r
  double lora_dropout = 0;
  std::vector<MaskSegment> masks;
  MaskRule mask_rule;
  std::uint64_t site = 0;  // unique in the model: layers get different dropout masks
  at::Tensor packed;       // W and Wᵀ as pack_frozen stores them, or undefined
  at::Tensor packed_transpose;
};

// y = x Wᵀ + b, with adapters y[:, segment] += scaling · (dropout(x) Aᵀ) Bᵀ; x [..., I] in
// mode.compute, result [..., O]. Never through a merged weight: merging into bf16 would round small
// updates away. With masks, W is masked_weight() in mode.compute, which rounds nothing, and the
// scores get the straight-through gradient dS = (dyᵀ x) ⊙ W · (1 − off_value), also where W is off.
// Throws Error when a layer with adapters or masks also trains its weight, or has both.
at::Tensor linear(const Linear& layer, const at::Tensor& x, const ForwardMode& mode);

// For a frozen layer used in many products of about `rows` rows in `compute`: stores W and Wᵀ in
// the layout that matrix products read fastest (core/matmul) and drops W, whose values can no
// longer be read. Does nothing if the weight is trained or masked, has another dtype, or has no
// such layout.
void pack_frozen(Linear& layer, std::int64_t rows, at::ScalarType compute);

// W + scaling · B A over all segments, fp32, for evaluation and export.
at::Tensor merged_weight(const Linear& layer);

// W with the weights off that the masks switch off, in its own dtype, without gradient.
at::Tensor masked_weight(const Linear& layer);

}  // namespace saferclip
