#include "saferclip/train/mask_training.h"

#include <ATen/ATen.h>

#include "saferclip/core/rng.h"
#include "saferclip/model/trained.h"
#include "saferclip/nn/gradient_dropout.h"

namespace saferclip {
namespace {

constexpr std::uint64_t kMaskDropoutStream = 0x3A5C;

}  // namespace

MaskTraining::MaskTraining(const std::vector<TrainedParameter>& parameters,
                           const AdapterOptions& options, const ObjectiveOptions& objective,
                           std::uint64_t seed)
    : options_(options), preservation_(preservation_part(objective)), seed_(seed) {
  const RowNeeds needs = loss_needs(preservation_);
  reads_anchors_ = options.gradient_dropout.general == GeneralKnowledge::kPreserve &&
                   (needs.anchor_text || needs.anchor_image);
  for (const TrainedParameter& parameter : parameters) {
    const std::string& name = parameter.parts.front().name;
    if (!name.starts_with(kMaskPrefix)) continue;
    masks_.push_back({name.substr(kMaskPrefix.size()), parameter.tensor});
    weights_ += static_cast<double>(parameter.tensor.numel());
  }
}

at::Tensor MaskTraining::norm() const {
  std::vector<at::Tensor> norms;
  for (const Mask& mask : masks_) norms.push_back(mask.scores.norm());
  return at::stack(norms).sum();
}

LossResult MaskTraining::general_loss(const LossInputs& inputs, const LossCounts& counts) const {
  switch (options_.gradient_dropout.general) {
    case GeneralKnowledge::kKl:
      return general_knowledge_loss(inputs, counts, options_.gradient_dropout.temperature);
    case GeneralKnowledge::kPreserve:
      return compute_losses(preservation_, inputs, counts);
  }
  return {};
}

std::string MaskTraining::general_term() const {
  return options_.gradient_dropout.general == GeneralKnowledge::kKl ? "general_kl" : "";
}

std::vector<at::Tensor> MaskTraining::gradients() const {
  std::vector<at::Tensor> gradients;
  for (const Mask& mask : masks_) gradients.push_back(mask.scores.grad());
  return gradients;
}

void MaskTraining::drop_gradients(const std::vector<at::Tensor>& general, std::int64_t step) const {
  const at::NoGradGuard guard;
  const GradientDropout dropout{options_.gradient_dropout.lambda, options_.gradient_dropout.eps};
  const std::uint64_t key = mix_bits(seed_, {kMaskDropoutStream, static_cast<std::uint64_t>(step)});
  for (std::size_t i = 0; i < masks_.size(); ++i) {
    at::Tensor gradient = masks_[i].scores.grad();
    if (!gradient.defined() || !general[i].defined()) continue;
    drop_gradient_(gradient, general[i], dropout, mix_text(key, masks_[i].weight));
  }
}

at::Tensor MaskTraining::is_off(const Mask& mask) const {
  return mask.scores.detach().le(options_.threshold);
}

at::Tensor MaskTraining::masked_fraction() const {
  std::vector<at::Tensor> counts;
  for (const Mask& mask : masks_) counts.push_back(is_off(mask).sum());
  return at::stack(counts).sum().to(at::kDouble).div(weights_).to(at::kFloat);
}

std::vector<std::pair<std::string, double>> MaskTraining::masked_fractions() const {
  std::vector<std::pair<std::string, double>> fractions;
  for (const Mask& mask : masks_) {
    fractions.emplace_back(
        mask.weight, is_off(mask).sum().item<double>() / static_cast<double>(mask.scores.numel()));
  }
  return fractions;
}

}  // namespace saferclip
