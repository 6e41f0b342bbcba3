// LibTorch exports no C++ function for its oneDNN products, only the operators that its compiler
// uses; they are looked up in the dispatcher by name, once. If a LibTorch lacks one, ATen's own
// products take over. The operators throw for bf16 on a CPU without bf16 instructions, and oneDNN
// has only a reference implementation (a hundred times slower) for some shapes of strided views;
// both cases go to ATen as well.
#include "saferclip/core/matmul.h"

#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>

#include <optional>
#include <string_view>

#include "saferclip/core/cpu.h"

namespace saferclip {
namespace {

using Pointwise = at::Tensor(const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&,
                             std::string_view, c10::List<std::optional<at::Scalar>>,
                             std::optional<std::string_view>);
using Reorder = at::Tensor(const at::Tensor&, std::optional<c10::SymInt>);
using Binary = at::Tensor(const at::Tensor&, const at::Tensor&, const at::Tensor&,
                          const std::optional<at::Tensor>&, std::string_view);

constexpr const char* kLinear = "mkldnn::_linear_pointwise";

// The static makes this one lookup per signature; each signature belongs to one operator.
template <class Signature>
const c10::TypedOperatorHandle<Signature>* find_operator(const char* name, const char* overload) {
  static const auto found = [&]() -> std::optional<c10::TypedOperatorHandle<Signature>> {
    const auto handle = c10::Dispatcher::singleton().findSchema({name, overload});
    if (!at::globalContext().hasMKLDNN() || !handle) return std::nullopt;
    return handle->template typed<Signature>();
  }();
  return found ? &*found : nullptr;
}

// Contiguous, or the transpose of a contiguous matrix.
bool is_dense(const at::Tensor& t) {
  return t.is_mkldnn() || t.is_contiguous() || t.t().is_contiguous();
}

bool can_use_onednn(const at::Tensor& x, const at::Tensor& weight) {
  const bool has_type =
      x.scalar_type() == at::kFloat || (x.scalar_type() == at::kBFloat16 && multiplies_bf16_fast());
  return x.is_cpu() && has_type && x.numel() > 0 && is_dense(x) && is_dense(weight);
}

// Not needed for bf16, which ATen itself sends to oneDNN.
bool goes_to_onednn(const at::Tensor& x, const at::Tensor& weight) {
  return (x.scalar_type() == at::kFloat || weight.is_mkldnn()) && can_use_onednn(x, weight);
}

std::optional<at::Tensor> optional(const at::Tensor& t) {
  return t.defined() ? std::make_optional(t) : std::nullopt;
}

void set_product_precision(at::Float32Precision precision) {
  at::globalContext().setFloat32Precision(at::Float32Backend::CUDA, at::Float32Op::MATMUL,
                                          precision);
}

}  // namespace

at::Tensor linear_product(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                          const at::Tensor& addend) {
  if (addend.defined() && addend.is_contiguous() && can_use_onednn(x, weight)) {
    const auto* binary = find_operator<Binary>(kLinear, "binary");
    if (binary != nullptr) return binary->call(x, addend, weight, optional(bias), "add");
  }
  const auto* pointwise =
      goes_to_onednn(x, weight) ? find_operator<Pointwise>(kLinear, "") : nullptr;
  at::Tensor y = pointwise != nullptr
                     ? pointwise->call(x, weight, optional(bias), "none",
                                       c10::List<std::optional<at::Scalar>>(), std::nullopt)
                     : at::linear(x, weight, optional(bias));
  return addend.defined() ? y.add_(addend) : y;
}

at::Tensor packed_weight(const at::Tensor& weight, std::int64_t rows) {
  if (!can_use_onednn(weight, weight)) return {};
  const auto* reorder = find_operator<Reorder>("mkldnn::_reorder_linear_weight", "");
  return reorder == nullptr ? at::Tensor() : reorder->call(weight.contiguous(), c10::SymInt(rows));
}

at::Tensor product(const at::Tensor& a, const at::Tensor& b) {
  return goes_to_onednn(a, b) ? linear_product(a, b.t()) : at::mm(a, b);
}

bool multiplies_bf16_fast() { return has_bf16_products() && at::globalContext().hasMKLDNN(); }

Tf32Products::Tf32Products(bool is_on) : is_on_(is_on) {
  if (is_on_) set_product_precision(at::Float32Precision::TF32);
}

Tf32Products::~Tf32Products() {
  if (is_on_) set_product_precision(at::Float32Precision::IEEE);
}

}  // namespace saferclip
