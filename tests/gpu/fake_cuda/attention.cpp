// Fused attention: which kernel CUDA would choose for these operands and this card, and both
// kernels by way of the CPU's flash attention. scaled_dot_product_attention asks the dispatch stub
// and not the operator, so both are registered. A choice that differs from a card's would run other
// operators in the tests than in production; the rules are those of ATen's sdp_utils as far as
// dense tensors of CLIP go.
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/native/DispatchStub.h>
#include <ATen/native/transformers/attention.h>
#include <ATen/ops/_scaled_dot_product_flash_attention_for_cpu.h>
#include <ATen/ops/_scaled_dot_product_flash_attention_for_cpu_backward.h>
#include <ATen/ops/zeros.h>
#include <torch/library.h>

#include "counts.h"
#include "kernels.h"
#include "settings.h"

namespace fake_cuda {
namespace {

using Three = std::tuple<at::Tensor, at::Tensor, at::Tensor>;
using Four = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor>;
using Nine = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, c10::SymInt, c10::SymInt,
                        at::Tensor, at::Tensor, at::Tensor>;
using Optional = std::optional<at::Tensor>;

constexpr std::int64_t kMath = 0, kFlash = 1, kEfficient = 2;  // sdp::SDPBackend

bool has_rows_in_memory(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
  return q.stride(-1) == 1 && k.stride(-1) == 1 && v.stride(-1) == 1;
}

std::int64_t choose(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                    const Optional& mask, double, bool, std::optional<double>, bool) {
  const at::ScalarType type = q.scalar_type();
  const bool is_new_card = settings().capability_major >= 8;
  const bool is_half = type == at::kHalf || (type == at::kBFloat16 && is_new_card);
  const bool has_mask = mask && mask->defined();
  if (q.dim() != 4 || !has_rows_in_memory(q, k, v) || q.size(1) != k.size(1)) return kMath;
  if (q.numel() == 0 || k.numel() == 0) return kMath;
  if (is_half && is_new_card && !has_mask && q.size(-1) <= 256 && q.size(-1) == v.size(-1)) {
    return kFlash;
  }
  const std::int64_t alignment = is_half ? 8 : 4;
  const bool is_aligned = q.size(-1) % alignment == 0 && v.size(-1) % alignment == 0;
  return (is_half || type == at::kFloat) && is_aligned ? kEfficient : kMath;
}

struct Attended {
  at::Tensor y, sums;
};

void check_attention(const char* op, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                     double dropout) {
  for (const at::Tensor* t : {&k, &v}) {
    if (!is_on_device(*t) || t->device() != q.device()) refuse(op, "operands on several devices");
    if (t->scalar_type() != q.scalar_type()) refuse(op, "operands of several dtypes");
  }
  if (dropout > 0) refuse(op, "the fake device has no attention with dropout");
}

Attended attend(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, bool is_causal,
                const Optional& mask, std::optional<double> scale) {
  const at::AutoDispatchBelowADInplaceOrView guard;
  const Optional bias = mask && mask->defined() ? Optional(view_of(*mask)) : std::nullopt;
  const auto [y, sums] = at::_scaled_dot_product_flash_attention_for_cpu(
      view_of(q), view_of(k), view_of(v), 0.0, is_causal, bias, scale);
  const c10::DeviceIndex index = q.device().index();
  return {to_device(y, index), to_device(sums, index)};
}

Three attend_backward(const at::Tensor& dy, const at::Tensor& q, const at::Tensor& k,
                      const at::Tensor& v, const at::Tensor& y, const at::Tensor& sums,
                      bool is_causal, const Optional& mask, std::optional<double> scale) {
  const at::AutoDispatchBelowADInplaceOrView guard;
  const Optional bias = mask && mask->defined() ? Optional(view_of(*mask)) : std::nullopt;
  const auto [dq, dk, dv] = at::_scaled_dot_product_flash_attention_for_cpu_backward(
      view_of(dy), view_of(q), view_of(k), view_of(v), view_of(y), view_of(sums), 0.0, is_causal,
      bias, scale);
  const c10::DeviceIndex index = q.device().index();
  return {to_device(dq, index), to_device(dk, index), to_device(dv, index)};
}

// The state of the random numbers, which no kernel here reads.
at::Tensor no_state(const at::Tensor& like) {
  const at::AutoDispatchBelowADInplaceOrView guard;
  return to_device(at::zeros({}, at::kLong), like.device().index());
}

Nine flash(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, double dropout,
           bool is_causal, bool, std::optional<double> scale) {
  const char* op = "aten::_scaled_dot_product_flash_attention";
  check_attention(op, q, k, v, dropout);
  if (q.scalar_type() != at::kHalf && q.scalar_type() != at::kBFloat16) {
    refuse(op, "FlashAttention only support fp16 and bf16 data type");
  }
  begin_kernel(op);
  const Attended out = attend(q, k, v, is_causal, {}, scale);
  return {out.y, out.sums, {}, {}, q.sym_size(2), k.sym_size(2), no_state(q), no_state(q), {}};
}

Three flash_backward(const at::Tensor& dy, const at::Tensor& q, const at::Tensor& k,
                     const at::Tensor& v, const at::Tensor& y, const at::Tensor& sums,
                     const at::Tensor&, const at::Tensor&, c10::SymInt, c10::SymInt, double dropout,
                     bool is_causal, const at::Tensor&, const at::Tensor&,
                     std::optional<double> scale) {
  const char* op = "aten::_scaled_dot_product_flash_attention_backward";
  check_attention(op, q, k, v, dropout);
  check_attention(op, q, dy, y, dropout);
  begin_kernel(op, 3);
  return attend_backward(dy, q, k, v, y, sums, is_causal, {}, scale);
}

Four efficient(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const Optional& mask,
               bool, double dropout, bool is_causal, std::optional<double> scale) {
  const char* op = "aten::_scaled_dot_product_efficient_attention";
  check_attention(op, q, k, v, dropout);
  begin_kernel(op);
  const Attended out = attend(q, k, v, is_causal, mask, scale);
  return {out.y, out.sums, no_state(q), no_state(q)};
}

Four efficient_backward(const at::Tensor& dy, const at::Tensor& q, const at::Tensor& k,
                        const at::Tensor& v, const at::Tensor& mask, const at::Tensor& y,
                        const at::Tensor& sums, const at::Tensor&, const at::Tensor&,
                        double dropout, std::array<bool, 4> wanted, bool is_causal,
                        std::optional<double> scale) {
  const char* op = "aten::_scaled_dot_product_efficient_attention_backward";
  check_attention(op, q, k, v, dropout);
  check_attention(op, q, dy, y, dropout);
  if (wanted[3] && mask.defined()) refuse(op, "the fake device has no gradient of a mask");
  begin_kernel(op, 2);
  const auto [dq, dk, dv] = attend_backward(dy, q, k, v, y, sums, is_causal, mask, scale);
  return {dq, dk, dv, {}};
}

}  // namespace

TORCH_LIBRARY_IMPL(aten, CUDA, m) {
  m.impl("_fused_sdp_choice", &choose);
  m.impl("_scaled_dot_product_flash_attention", &flash);
  m.impl("_scaled_dot_product_flash_attention_backward", &flash_backward);
  m.impl("_scaled_dot_product_efficient_attention", &efficient);
  m.impl("_scaled_dot_product_efficient_attention_backward", &efficient_backward);
}

}  // namespace fake_cuda

namespace at::native {
REGISTER_CUDA_DISPATCH(_fused_sdp_choice_stub, &fake_cuda::choose)
}  // namespace at::native
