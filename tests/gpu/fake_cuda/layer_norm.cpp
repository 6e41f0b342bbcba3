// LayerNorm as CUDA has it: rows, weights and gradient of one dtype, statistics in fp32 (float64
// for float64). The CPU's kernel takes fp32 weights with bf16 rows and would hide the difference.
// It computes in fp32 and rounds at the end.
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/native_layer_norm.h>
#include <ATen/ops/native_layer_norm_backward.h>
#include <torch/library.h>

#include "counts.h"
#include "kernels.h"

namespace fake_cuda {
namespace {

using Three = std::tuple<at::Tensor, at::Tensor, at::Tensor>;
using Optional = std::optional<at::Tensor>;

at::Tensor value_of(const Optional& t) { return t ? *t : at::Tensor(); }

at::ScalarType statistics_type(const at::Tensor& rows) {
  return rows.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

void check_alike(const char* op, const at::Tensor& rows, const char* what, const at::Tensor& t) {
  if (!t.defined()) return;
  if (t.device() != rows.device()) {
    refuse(op, c10::str(what, " is on ", t.device(), ", the rows on ", rows.device()));
  }
  if (t.scalar_type() != rows.scalar_type()) {
    refuse(op, c10::str(what, ": expected scalar type ", rows.scalar_type(), " but found ",
                        t.scalar_type()));
  }
}

void check_statistics(const char* op, const at::Tensor& rows, const at::Tensor& t) {
  if (t.device() != rows.device()) refuse(op, "statistics are on another device");
  if (t.scalar_type() == statistics_type(rows)) return;
  refuse(op, c10::str("statistics: expected scalar type ", statistics_type(rows), " but found ",
                      t.scalar_type()));
}

at::Tensor widened(const at::Tensor& t) {
  return t.defined() ? view_of(t).to(statistics_type(t)) : t;
}

Three layer_norm(const at::Tensor& rows, at::IntArrayRef shape, const Optional& weight,
                 const Optional& bias, double eps) {
  const char* op = "aten::native_layer_norm";
  check_alike(op, rows, "weight", value_of(weight));
  check_alike(op, rows, "bias", value_of(bias));
  begin_kernel(op);
  const at::AutoDispatchBelowADInplaceOrView guard;
  const auto [y, mean, rstd] = at::native_layer_norm(
      widened(rows), shape, widened(value_of(weight)), widened(value_of(bias)), eps);
  const c10::DeviceIndex index = rows.device().index();
  return {to_device(y.to(rows.scalar_type()), index), to_device(mean, index),
          to_device(rstd, index)};
}

Three layer_norm_backward(const at::Tensor& gradient, const at::Tensor& rows, at::IntArrayRef shape,
                          const at::Tensor& mean, const at::Tensor& rstd, const Optional& weight,
                          const Optional& bias, std::array<bool, 3> wanted) {
  const char* op = "aten::native_layer_norm_backward";
  check_alike(op, rows, "gradient", gradient);
  check_alike(op, rows, "weight", value_of(weight));
  check_alike(op, rows, "bias", value_of(bias));
  check_statistics(op, rows, mean);
  check_statistics(op, rows, rstd);
  begin_kernel(op, wanted[1] || wanted[2] ? 3 : 1);
  const at::AutoDispatchBelowADInplaceOrView guard;
  const auto [dx, dweight, dbias] = at::native_layer_norm_backward(
      widened(gradient), widened(rows), shape, view_of(mean), view_of(rstd),
      widened(value_of(weight)), widened(value_of(bias)), wanted);
  const auto moved = [&](const at::Tensor& t) {
    return t.defined() ? to_device(t.to(rows.scalar_type()), rows.device().index()) : t;
  };
  return {moved(dx), moved(dweight), moved(dbias)};
}

}  // namespace

TORCH_LIBRARY_IMPL(aten, CUDA, m) {
  m.impl("native_layer_norm", &layer_norm);
  m.impl("native_layer_norm_backward", &layer_norm_backward);
}

}  // namespace fake_cuda
