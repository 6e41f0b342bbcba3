// An objective's weighted sum of loss terms, computed from embeddings alone. Legend: B rows of a
// (micro-)batch, A anchors, D embedding width. t, v: safe caption and picture; t*, v*: unsafe ones;
// t̂, v̂: targets; T, V: the tuned towers; T0, V0: the frozen reference.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "saferclip/core/lorentz.h"
#include "saferclip/core/quadruplet.h"
#include "saferclip/objective/objective_options.h"

namespace saferclip {

struct LossInputs : LossConstants {
  EmbeddingRows tuned;                   // T(t), V(v), T(t*), V(v*): with gradient
  at::Tensor anchor_text, anchor_image;  // T(p), V(x): [A, D] or undefined
  // 0-d: exp(logit_scale), and the bias of the sigmoid form. The model's own (trained or not) if
  // uses_model_scale(), else the reference's.
  at::Tensor logit_scale;
  at::Tensor logit_bias;
  LorentzScalars lorentz;  // hysac's, whose tuned rows must not be normalized
};

// The scale and bias that contrastive terms may take: the tuned model's own, and the frozen
// reference's.
struct LogitScales {
  at::Tensor model_logit_scale;  // 0-d, before exp
  at::Tensor model_logit_bias;   // 0-d
  double reference_scale = 100;  // exp(logit_scale)
  double reference_bias = 0;
  LorentzScalars lorentz;  // the tuned model's, for hysac
};

// The inputs of `tuned` rows; which scale and bias count is decided by the objective. Anchors are
// the caller's to add.
LossInputs make_loss_inputs(const ObjectiveOptions& options, const LossConstants& constants,
                            const EmbeddingRows& tuned, const LogitScales& scales);

// Counts over the whole batch: divided by these, the losses of its micro-batches sum to the
// batch's.
struct LossCounts {
  double rows = 0;
  double redirected_rows = 0;
  double redirected_rows_with_unsafe_image = 0;
  double anchors_text = 0;
  double anchors_image = 0;
  LabelCounts labels = {};  // for objective shield_clip alone
};

struct LossTerm {
  std::string name;
  at::Tensor value;  // 0-d, before weighting
  double weight = 0;
};

struct LossResult {
  at::Tensor total;
  std::vector<LossTerm> terms;
};

// The counts of these rows and anchors as a whole batch. Waits for the device if rows are masked.
LossCounts count_rows(const LossInputs& inputs);

// Each term is the sum over the rows that have its inputs, divided by their count in the whole
// batch. InfoNCE terms draw their negatives from the given B rows alone. Terms of weight 0 are not
// computed. `total` and the values are in the dtype of the tuned rows, and carry a graph back to
// the tuned rows and anchors. Never waits for the device. Throws ConfigError if no term has a
// weight above 0.
LossResult compute_losses(const ObjectiveOptions& options, const LossInputs& inputs,
                          const LossCounts& counts);

// The inputs of rows [begin, begin + size); anchors are kept whole.
LossInputs narrow_rows(const LossInputs& inputs, std::int64_t begin, std::int64_t size);

// The objective over many rows without gradients, for validation: in consecutive blocks of `block`
// rows, within which the InfoNCE terms find their negatives. Anchor terms are left out.
struct MeanLosses {
  double total = 0;
  std::vector<std::pair<std::string, double>> terms;  // before weighting
};
MeanLosses measure_losses(const ObjectiveOptions& options, const LossInputs& rows,
                          std::int64_t block);

// Whether the contrastive loss uses the model's own scale and bias (objectives clip and siglip).
bool uses_model_scale(const ObjectiveOptions& options);
// Whether the losses measure Lorentz distances, with numbers of their own that the model learns
// (objective hysac).
bool uses_lorentz(const ObjectiveOptions& options);
// Whether a weighted term has the sigmoid form, which needs a bias.
bool needs_logit_bias(const ObjectiveOptions& options);

// The weighted terms that count only rows with an unsafe picture.
std::vector<std::string> terms_with_unsafe_images(const ObjectiveOptions& options);
// The weighted terms whose gradient reaches this tower ("text", "vision") alone.
std::vector<std::string> terms_of_one_tower(const ObjectiveOptions& options, Sides side);

// The inputs that an objective needs besides the safe pair; `crops` is not its business.
RowNeeds loss_needs(const ObjectiveOptions& options);

}  // namespace saferclip
