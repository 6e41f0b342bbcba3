#include "saferclip/objective/general_knowledge.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <string>

#include "objective/loss_needs.h"
#include "saferclip/objective/losses.h"

namespace saferclip {
namespace {

// T² times the soft cross-entropy of the classes [B, D], row by row. All rows are normalized.
at::Tensor soft_cross_entropy(const at::Tensor& student, const at::Tensor& teacher,
                              const at::Tensor& classes, const at::Tensor& scale,
                              double temperature) {
  const at::Tensor factor = scale / temperature;
  const at::Tensor expected = at::softmax(at::mm(teacher, classes.t()) * factor, 1);
  const at::Tensor found = at::log_softmax(at::mm(student, classes.t()) * factor, 1);
  return (expected * found).sum(1) * (-temperature * temperature);
}

bool preserves(const std::string& term, const ObjectiveOptions& options) {
  const bool reads_unsafe =
      term.starts_with("pres_cet_") && options.pres_cet.over == JointAnswer::kTarget;
  return (term.starts_with("pres_") || term.starts_with("anchor_")) && !reads_unsafe;
}

}  // namespace

at::Tensor partner_divergence(const EmbeddingRows& tuned, const EmbeddingRows& reference,
                              const at::Tensor& scale, double temperature) {
  const at::Tensor t0 = normalise_rows(reference.safe_text);
  const at::Tensor v0 = normalise_rows(reference.safe_image);
  const at::Tensor of_images =
      soft_cross_entropy(normalise_rows(tuned.safe_image), v0, t0, scale, temperature);
  const at::Tensor of_texts =
      soft_cross_entropy(normalise_rows(tuned.safe_text), t0, v0, scale, temperature);
  return (of_images + of_texts) * 0.5;
}

LossResult general_knowledge_loss(const LossInputs& inputs, const LossCounts& counts,
                                  double temperature) {
  const at::Tensor value =
      partner_divergence(inputs.tuned, inputs.reference, inputs.logit_scale, temperature).sum() /
      counts.rows;
  return {value, {{"general_kl", value, 1}}};
}

ObjectiveOptions preservation_part(const ObjectiveOptions& options) {
  ObjectiveOptions part = options;
  const double divisor = divisor_of(options);
  for (auto& [term, weight] : part.weights) {
    weight = preserves(term, options) ? weight_of(options, term) / divisor : 0;
  }
  part.normalise = Normalization::kNone;
  return part;
}

bool has_terms(const ObjectiveOptions& options) {
  return std::ranges::any_of(
      options.weights, [&](const auto& entry) { return weight_of(options, entry.first) > 0; });
}

}  // namespace saferclip
