// The weighted sum of loss terms that an objective names. Sees embeddings only. Legend: B rows of a
// (micro-)batch, A anchors, D embedding width.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "saferclip/objective/objective_options.h"

namespace saferclip {

// The four embeddings of a quadruplet, [B, D] each; undefined where the objective does not need
// them.
struct EmbeddingRows {
  at::Tensor safe_text;
  at::Tensor safe_image;
  at::Tensor unsafe_text;
  at::Tensor unsafe_image;
};

struct LossInputs {
  EmbeddingRows tuned;      // T(t), V(v), T(t*), V(v*): with gradient
  EmbeddingRows reference;  // T0, V0 of the same
  at::Tensor target_text;   // T0(t̂)
  at::Tensor target_image;  // V0(v̂)
  // [B], 0 or 1. Rows without an unsafe picture may hold anything in the unsafe_image tensors: it
  // has no influence on values or gradients. Undefined: all rows have it.
  at::Tensor has_unsafe_image;
  // [B], 0 or 1: whether the redirection terms of a row count. Undefined: they do.
  at::Tensor is_redirected;
  at::Tensor anchor_text, anchor_image;                      // T(p), V(x): [A, D] or undefined
  at::Tensor reference_anchor_text, reference_anchor_image;  // T0(p), V0(x)
  // 0-d: the scale, exp applied, and the bias of the sigmoid form. The model's own, trained or not,
  // where uses_model_scale() says so; else the reference's.
  at::Tensor logit_scale;
  at::Tensor logit_bias;
};

// Counts over the whole batch, so that the losses of its micro-batches add up to the batch's.
struct LossCounts {
  double rows = 0;
  double redirected_rows = 0;
  double redirected_rows_with_unsafe_image = 0;
  double anchors_text = 0;
  double anchors_image = 0;
};

struct LossTerm {
  std::string name;
  at::Tensor value;  // 0-d, raw
  double weight = 0;
};

struct LossResult {
  at::Tensor total;
  std::vector<LossTerm> terms;
};

// A term is the sum over the rows that have its inputs, divided by its count over the whole batch.
// InfoNCE terms take their negatives from the given rows and count B / rows. Terms of weight 0 are
// not computed. Nothing waits for the device.
LossResult compute_losses(const ObjectiveOptions& options, const LossInputs& inputs,
                          const LossCounts& counts);

// Rows [begin, begin + size) of everything that has a value a row; anchors stay as they are.
LossInputs narrow_rows(const LossInputs& inputs, std::int64_t begin, std::int64_t size);

// The objective over many rows without gradients, as for validation: blocks of `block` rows in
// order, from which the InfoNCE terms take their negatives. Anchors are left out.
struct MeanLosses {
  double total = 0;
  std::vector<std::pair<std::string, double>> terms;  // raw
};
MeanLosses measure_losses(const ObjectiveOptions& options, const LossInputs& rows,
                          std::int64_t block);

// Whether the contrast is by the model's own scale and bias (objectives clip and siglip).
bool uses_model_scale(const ObjectiveOptions& options);
// Whether a term has the sigmoid form, which takes a bias.
bool needs_logit_bias(const ObjectiveOptions& options);

// The weighted terms that count only rows with an unsafe picture, and those through which no
// gradient reaches but that of one tower ("text", "vision").
std::vector<std::string> terms_of_unsafe_pictures(const ObjectiveOptions& options);
std::vector<std::string> terms_of_one_tower(const ObjectiveOptions& options,
                                            const std::string& tower);

// What an objective needs besides the safe pair.
struct LossNeeds {
  bool unsafe_text = false;
  bool unsafe_image = false;
  bool reference = false;
  bool reference_unsafe_image = false;  // V0(v*)
  bool targets = false;
  bool anchor_text = false;
  bool anchor_image = false;
};
LossNeeds loss_needs(const ObjectiveOptions& options);

}  // namespace saferclip
