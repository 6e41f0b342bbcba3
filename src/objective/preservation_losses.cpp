// A correlation has no gradient where its cosines are equal: such pairs are left out by `where`, on
// both sides of the division, because 0 · ∞ would be NaN.
#include "objective/preservation_losses.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "saferclip/objective/losses.h"

namespace saferclip {
namespace {

// Below it, cosines in fp32 differ by rounding alone.
constexpr double kLeastVariance = 1e-12;
// Added to deviations, as in the reference values.
constexpr double kEpsilon = 1e-8;

at::Tensor spread_of_rows(const at::Tensor& rows) {
  const at::Tensor z = normalise_rows(rows);
  return (z - z.mean(0, true)).square().sum() / static_cast<double>(z.size(0) - 1);
}

}  // namespace

at::Tensor spread_loss(const at::Tensor& tuned, const at::Tensor& reference) {
  if (tuned.size(0) < 2) return tuned.sum() * 0;
  return at::relu(spread_of_rows(reference) - spread_of_rows(tuned));
}

at::Tensor neighbour_loss(const at::Tensor& tuned, const at::Tensor& reference, std::int64_t k) {
  const std::int64_t others = std::min(k, tuned.size(0) - 1);
  if (others < 1) return tuned.sum() * 0;
  const at::Tensor r = normalise_rows(reference), t = normalise_rows(tuned);
  const at::Tensor self = at::eye(r.size(0), r.options()).ne(0);
  const auto [near, index] = at::mm(r, r.t()).masked_fill(self, -2).topk(others, 1);
  const auto centred = [](const at::Tensor& values) { return values - values.mean(); };
  const at::Tensor before = centred(near);
  const at::Tensor after = centred(at::mm(t, t.t()).gather(1, index));
  const auto n = static_cast<double>(near.numel());
  const auto variance = [&](const at::Tensor& values) {
    return values.square().sum() / std::max(n - 1, 1.0);
  };
  const at::Tensor var_before = variance(before), var_after = variance(after);
  const at::Tensor has_before = var_before > kLeastVariance;
  const at::Tensor is_told = has_before.logical_and(var_after > kLeastVariance);
  const at::Tensor one = at::ones_like(var_after);
  const at::Tensor deviations = (at::where(is_told, var_before, one).sqrt() + kEpsilon) *
                                (at::where(is_told, var_after, one).sqrt() + kEpsilon);
  const at::Tensor agreement = (before * after).sum() / (n * deviations);
  return at::where(has_before, 1 - at::where(is_told, agreement, at::zeros_like(one)),
                   at::zeros_like(one));
}

}  // namespace saferclip
