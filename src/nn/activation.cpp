// QuickGELU   y = x·s,         y' = s + 1.702·x·s·(1 - s),  s = σ(1.702x)
// GELU        y = x·Φ(x),      y' = Φ(x) + x·φ(x),          Φ, φ of the normal distribution
// GELU, tanh  y = x·(1 + tanh(√(2/π)·(x + 0.044715·x³))) / 2
// LibTorch has the two GELUs; QuickGELU is one row kernel on a CPU and SiLU of 1.702x elsewhere.
#include "nn/activation.h"

#include <ATen/ATen.h>

#include "nn/row_kernels.h"

namespace saferclip {
namespace {

constexpr double kQuickGeluSlope = 1.702;

const char* approximation(Activation activation) {
  return activation == Activation::kGelu ? "none" : "tanh";
}

// QuickGELU of x from kx, k = 1.702: x·σ(kx) = silu(kx)/k, and its derivative is silu'(kx).
at::Tensor quick_gelu_of(const at::Tensor& scaled) {
  return at::silu(scaled).mul_(1 / kQuickGeluSlope);
}

}  // namespace

Activated activate(Activation activation, const at::Tensor& x) {
  if (activation != Activation::kQuickGelu) return {at::gelu(x, approximation(activation)), x};
  if (has_row_kernels(x)) return {quick_gelu(x), x};
  const at::Tensor scaled = x.mul(kQuickGeluSlope);
  return {quick_gelu_of(scaled), scaled};
}

at::Tensor activation_backward(Activation activation, at::Tensor dy, const at::Tensor& kept,
                               at::Tensor* value) {
  if (activation != Activation::kQuickGelu) {
    if (value != nullptr) *value = at::gelu(kept, approximation(activation));
    return at::gelu_backward(dy, kept, approximation(activation));
  }
  if (has_row_kernels(kept)) {
    if (value != nullptr) *value = at::empty_like(kept);
    quick_gelu_backward_(dy, kept, value == nullptr ? at::Tensor() : *value);
    return dy;
  }
  if (value != nullptr) *value = quick_gelu_of(kept);
  return at::silu_backward(dy, kept);
}

}  // namespace saferclip
