// Each equation is in lorentz.h. Clamps are those of HySAC's equations: they keep acos, asin and
// acosh away from the ends of their domains, where derivatives are infinite. A clamped entry has no
// gradient.
#include "saferclip/objective/lorentz.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <cmath>

namespace saferclip {
namespace {

constexpr double kMinLogCurvature = -2.302585092994046;  // ln 0.1
constexpr double kMaxLogCurvature = 2.302585092994046;   // ln 10
constexpr double kMaxLogitScale = 4.6052;
constexpr double kSmall = 1e-8;
constexpr double kConeSmall = 1e-5;
constexpr double kMinRadius = 0.1;  // nearer to the origin a cone would be wider than a half space
constexpr double kExcludedLogit = -1e9;  // stands for −∞ in logits

double min_logit_scale() { return std::log(1 / 0.07); }

at::Tensor lengths(const at::Tensor& x) { return at::norm(x, 2, {1}, true); }

// <x_i, y_i>_L: [B, 1].
at::Tensor own_products(const at::Tensor& x, const at::Tensor& y, const at::Tensor& c) {
  return (x * y).sum(1, true) - time_components(x, c) * time_components(y, c);
}

}  // namespace

LorentzScalars initial_lorentz_scalars(std::int64_t width) {
  const auto scalar = [](double value) { return at::full({}, value, at::kFloat); };
  const double alpha = -0.5 * std::log(static_cast<double>(width));
  return {scalar(0), scalar(alpha), scalar(alpha), scalar(min_logit_scale())};
}

void clamp_lorentz_scalars(LorentzScalars& scalars) {
  const at::NoGradGuard guard;
  scalars.curvature.clamp_(kMinLogCurvature, kMaxLogCurvature);
  scalars.alpha_text.clamp_max_(0);
  scalars.alpha_image.clamp_max_(0);
  scalars.logit_scale.clamp_(min_logit_scale(), kMaxLogitScale);
}

at::Tensor lift(const at::Tensor& u, const at::Tensor& c) {
  const at::Tensor rows = u.to(at::kDouble);
  const at::Tensor length = c.sqrt() * lengths(rows);
  return length.clamp(kSmall, std::asinh(32768.0)).sinh() * rows / length.clamp_min(kSmall);
}

at::Tensor lift_embeddings(const at::Tensor& rows, const at::Tensor& alpha, const at::Tensor& c) {
  return lift(alpha.to(at::kDouble).exp() * rows.to(at::kDouble), c);
}

at::Tensor time_components(const at::Tensor& x, const at::Tensor& c) {
  return (1 / c + x.square().sum(1, true)).sqrt();
}

at::Tensor radii(const at::Tensor& x, const at::Tensor& c) {
  return (c.sqrt() * lengths(x)).asinh().squeeze(1) / c.sqrt();
}

at::Tensor lorentz_distances(const at::Tensor& x, const at::Tensor& y, const at::Tensor& c) {
  const at::Tensor products =
      at::mm(x, y.t()) - at::mm(time_components(x, c), time_components(y, c).t());
  return (-c * products).clamp_min(1 + kSmall).acosh() / c.sqrt();
}

at::Tensor outside_cone(const at::Tensor& x, const at::Tensor& y, const at::Tensor& c) {
  const double limit = 1 - kConeSmall;
  const at::Tensor length = lengths(x);
  const at::Tensor aperture =
      (2 * kMinRadius / (c.sqrt() * length + kConeSmall)).clamp(-limit, limit).asin();
  const at::Tensor product = c * own_products(x, y, c);
  const at::Tensor adjacent = time_components(y, c) + time_components(x, c) * product;
  const at::Tensor hypotenuse =
      length * (product.square() - 1).clamp_min(kConeSmall).sqrt() + kConeSmall;
  const at::Tensor angle = (adjacent / hypotenuse).clamp(-limit, limit).acos();
  return (angle - aperture).clamp_min(0).squeeze(1);
}

at::Tensor lorentz_contrast(const at::Tensor& a, const at::Tensor& b, const at::Tensor& c,
                            const at::Tensor& scale, const at::Tensor& mask) {
  at::Tensor logits = -scale * lorentz_distances(a, b, c);
  if (mask.defined()) {
    const at::Tensor is_out = mask.eq(0);
    logits =
        logits.masked_fill(is_out.unsqueeze(0).logical_or(is_out.unsqueeze(1)), kExcludedLogit);
  }
  const at::Tensor own = logits.diagonal();
  return ((at::logsumexp(logits, {1}) - own) + (at::logsumexp(logits, {0}) - own)) / 2;
}

}  // namespace saferclip
