// The names follow those of the weights, so that a state fits any order of parameters.
#include "train/optimizer_tensors.h"

#include <ATen/ATen.h>

#include <array>

namespace saferclip {
namespace {

constexpr std::array<OptimizerSlot, 2> kMoments{
    {{".exp_avg", &Optimizer::exp_avg}, {".exp_avg_sq", &Optimizer::exp_avg_sq}}};

}  // namespace

std::vector<NamedTensor> optimizer_tensors(const std::vector<TrainedParameter>& parameters,
                                           const Optimizer& optimizer, const MomentOf& moment_of) {
  std::vector<NamedTensor> tensors;
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    for (const OptimizerSlot& moment : kMoments) {
      const at::Tensor whole = moment_of(i, moment);
      if (!whole.defined()) continue;
      for (const auto& part : parameters[i].parts) {
        tensors.push_back({part.name + moment.suffix, part_view(parameters[i], part, whole)});
      }
    }
    tensors.push_back({parameters[i].parts[0].name + ".step", optimizer.step_count(i)});
  }
  return tensors;
}

std::size_t optimizer_tensor_count(const std::vector<TrainedParameter>& parameters) {
  std::size_t count = 0;
  for (const TrainedParameter& parameter : parameters) {
    count += kMoments.size() * parameter.parts.size() + 1;
  }
  return count;
}

std::vector<NamedTensor> loss_scale_tensors(const Optimizer& optimizer) {
  const LossScale* scale = optimizer.loss_scale();
  if (scale == nullptr) return {};
  return {{"loss_scale", scale->scale()}, {"loss_scale.growth", scale->growth()}};
}

}  // namespace saferclip
