// What a model knew before its tuning, as a loss: its gradient says where the objective's own would
// harm it (gradient dropout of masks, arXiv 2307.15049). It is never descended.
#pragma once

#include <ATen/core/Tensor.h>

#include "saferclip/objective/loss_set.h"

namespace saferclip {

// How far the tuned towers tell the batch's safe partners apart as the reference did, with the
// frozen partners as classes, one value a row, [B]. Of L2-normalized rows, s = scale:
//   ½ T² [CE(softmax(s V0 T0ᵀ / T), s V T0ᵀ / T) + CE(softmax(s T0 V0ᵀ / T), s T V0ᵀ / T)]
// The gradient is that of the two KL divergences. `scale` is 0-d.
at::Tensor partner_divergence(const EmbeddingRows& tuned, const EmbeddingRows& reference,
                              const at::Tensor& scale, double temperature);

// Its mean over the batch's rows, as the term "general_kl".
LossResult general_knowledge_loss(const LossInputs& inputs, const LossCounts& counts,
                                  double temperature);

// The objective's own terms on safe rows that preserve (pres_* and anchor_*), with the weights that
// they have in the whole objective; the others have weight 0.
ObjectiveOptions preservation_part(const ObjectiveOptions& options);
// Whether a term has a weight above 0.
bool has_terms(const ObjectiveOptions& options);

}  // namespace saferclip
