// The constants are those of PyTorch's GradScaler.
#include "saferclip/nn/loss_scale.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

namespace saferclip {
namespace {

constexpr double kFirst = 65536;
constexpr double kGrowth = 2;
constexpr double kBackoff = 0.5;
constexpr std::int64_t kGrowthInterval = 2000;

}  // namespace

LossScale::LossScale(at::Device device)
    : scale_(at::full({}, kFirst, at::TensorOptions().dtype(at::kFloat).device(device))),
      growth_(at::zeros({}, scale_.options().dtype(at::kInt))),
      found_inf_(at::zeros({}, scale_.options())) {}

at::Tensor LossScale::apply(const at::Tensor& loss) const { return loss * scale_; }

void LossScale::unscale(const std::vector<at::Tensor>& gradients) {
  const at::NoGradGuard guard;
  // A tensor of its own: the log may still read the last step's.
  found_inf_ = at::zeros_like(found_inf_);
  at::_amp_foreach_non_finite_check_and_unscale_(gradients, found_inf_, scale_.reciprocal());
}

void LossScale::update() {
  const at::NoGradGuard guard;
  at::_amp_update_scale_(scale_, growth_, found_inf_, kGrowth, kBackoff, kGrowthInterval);
}

}  // namespace saferclip
