// Adam: m = β1·m + (1-β1)·g, v = β2·v + (1-β2)·g², with the bias corrections m̂ = m / (1-β1ᵗ) and
// v̂ = v / (1-β2ᵗ); θ -= lr · m̂ / (√v̂ + eps). `adam` adds weight_decay·θ to g, `adamw` first
// scales θ by 1 - lr·weight_decay. LibTorch's fused kernels do each update in one pass, which the
// C++ class torch::optim::Adam does not; one call for the leaves that decay and one for the others.
#include "saferclip/nn/optimizer.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <utility>

namespace saferclip {
namespace {

using FusedAdam = void(at::TensorList, at::TensorList, at::TensorList, at::TensorList,
                       at::TensorList, at::TensorList, double, double, double, double, double, bool,
                       bool, const std::optional<at::Tensor>&, const std::optional<at::Tensor>&);

}  // namespace

at::Tensor part_view(const TrainedParameter& parameter, const TrainedParameter::Part& part,
                     const at::Tensor& whole) {
  if (parameter.parts.size() == 1) return whole.view(parameter.file_shape);
  return whole.narrow(0, part.row, part.rows);
}

Optimizer::Optimizer(OptimizerOptions options, const std::vector<TrainedParameter>& parameters,
                     Scaling scaling, std::vector<bool> held)
    : options_(std::move(options)), held_(std::move(held)) {
  held_.resize(parameters.size(), held_.empty());
  for (const TrainedParameter& parameter : parameters) {
    (parameter.decays ? decayed_ : plain_).push_back(leaves_.size());
    leaves_.push_back(parameter.tensor);
    const bool is_held = held_[exp_avg_.size()];
    exp_avg_.push_back(is_held ? at::zeros_like(parameter.tensor) : at::Tensor());
    exp_avg_sq_.push_back(is_held ? at::zeros_like(parameter.tensor) : at::Tensor());
    steps_.push_back(at::zeros({}, parameter.tensor.options().dtype(at::kFloat)));
  }
  if (scaling == Scaling::kDynamic) scale_.emplace(leaves_.front().device());
}

at::Tensor Optimizer::scaled(const at::Tensor& loss) const {
  return scale_ ? scale_->apply(loss) : loss;
}

void Optimizer::update(const std::vector<std::size_t>& indices, double weight_decay, double lr) {
  std::vector<at::Tensor> leaves, gradients, averages, squares, steps, counts;
  for (const std::size_t i : indices) {
    if (!leaves_[i].grad().defined()) continue;
    counts.push_back(steps_[i]);
    if (!held_[i]) continue;
    leaves.push_back(leaves_[i]);
    gradients.push_back(leaves_[i].grad());
    averages.push_back(exp_avg_[i]);
    squares.push_back(exp_avg_sq_[i]);
    steps.push_back(steps_[i]);
  }
  if (counts.empty()) return;
  at::_foreach_add_(counts, 1);
  const std::optional<at::Tensor> found_inf =
      scale_ ? std::optional(scale_->found_inf()) : std::nullopt;
  const auto fused = options_.name == OptimizerName::kAdamW
                         ? static_cast<FusedAdam*>(at::_fused_adamw_)
                         : static_cast<FusedAdam*>(at::_fused_adam_);
  if (!leaves.empty()) {
    fused(leaves, gradients, averages, squares, {}, steps, lr, options_.betas[0], options_.betas[1],
          weight_decay, options_.eps, false, false, {}, found_inf);
  }
  // The kernels skip a step that overflowed; its count goes back too.
  if (found_inf) {
    at::_foreach_sub_(counts, std::vector<at::Tensor>(counts.size(), *found_inf));
  }
}

void Optimizer::step(double lr) {
  const at::NoGradGuard guard;
  update(decayed_, options_.weight_decay, lr);
  update(plain_, 0, lr);
  if (scale_) scale_->update();
}

void Optimizer::zero_grad() {
  for (at::Tensor& leaf : leaves_) leaf.mutable_grad() = at::Tensor();
}

at::Tensor Optimizer::clip_gradients(std::optional<double> max_norm) {
  const at::NoGradGuard guard;
  std::vector<at::Tensor> gradients;
  for (const at::Tensor& leaf : leaves_) {
    if (leaf.grad().defined()) gradients.push_back(leaf.grad());
  }
  if (gradients.empty()) return at::zeros({}, leaves_.front().options().dtype(at::kFloat));
  if (scale_) scale_->unscale(gradients);
  at::Tensor norm = at::stack(at::_foreach_norm(gradients)).norm();
  if (max_norm) {
    const at::Tensor factor = (*max_norm / (norm + 1e-6)).clamp_max(1.0);
    at::_foreach_mul_(gradients, at::where(norm.isfinite(), factor, at::zeros_like(factor)));
  }
  return norm;
}

}  // namespace saferclip
