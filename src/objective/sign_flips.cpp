// The mean over pairs of o rᵀ is one product of [O, B] with [B, I], so no pair needs a matrix of
// its own.
#include "saferclip/objective/sign_flips.h"

#include <ATen/ATen.h>

#include <optional>

namespace saferclip {
namespace {

at::Tensor ratio(const at::Tensor& above, const at::Tensor& below) {
  const at::Tensor ratio = above / below;
  return at::where(ratio.isfinite(), ratio, at::ones_like(ratio));
}

}  // namespace

TokenSpread token_spread(const at::Tensor& inputs, const at::Tensor& is_real) {
  const at::Tensor real = is_real.to(at::kDouble).unsqueeze(2);
  const at::Tensor x = inputs.to(at::kDouble) * real;
  const at::Tensor count = real.sum(1);  // [B, 1]
  const at::Tensor mean = x.sum(1) / count;
  const at::Tensor apart = (x - mean.unsqueeze(1)) * real;
  return {x.square().sum(1).sqrt(), (apart.square().sum(1) / (count - 1)).sqrt()};
}

void FlipScores::add(const at::Tensor& weight, const TokenSpread& safe, const TokenSpread& unsafe) {
  const at::Tensor size = weight.to(at::kDouble).abs();
  const at::Tensor excited =
      ratio(at::mm(unsafe.norm, size.t()), at::mm(safe.norm, size.t()));  // [B, O]
  const at::Tensor steady =
      ratio(ratio(unsafe.norm, unsafe.deviation), ratio(safe.norm, safe.deviation));  // [B, I]
  if (!sum_.defined()) sum_ = at::zeros_like(size);
  sum_.addmm_(excited.t(), steady);
  pairs_ += safe.norm.size(0);
}

at::Tensor FlipScores::scores(const at::Tensor& weight, bool by_size) const {
  const at::Tensor mean = sum_ / static_cast<double>(pairs_);
  return by_size ? mean * weight.to(at::kDouble).abs() : mean;
}

at::Tensor highest_share(const at::Tensor& scores, double fraction) {
  const auto [sorted, order] = at::sort(scores.flatten(), std::optional<bool>(true), 0, false);
  const at::Tensor held = sorted.cumsum(0);
  const at::Tensor is_last = held > held[-1] * (1 - fraction);
  at::Tensor mask = at::zeros({scores.numel()}, scores.options().dtype(at::kBool));
  mask.index_put_({order}, is_last);
  return mask.view(scores.sizes());
}

}  // namespace saferclip
