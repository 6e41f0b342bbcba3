// What CUDA offers and the CPU does not: products of half-precision matrices with an fp32 result,
// and dropout that draws from the device's generator (the CPU's kernel would draw from the host's,
// and change the numbers a program draws there).
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/baddbmm.h>
#include <ATen/ops/bmm.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/ones_like.h>
#include <torch/library.h>

#include "counts.h"
#include "device.h"
#include "kernels.h"

namespace fake_cuda {
namespace {

// Views in the wider type; the operands must be half precision of one dtype, on one device.
std::pair<at::Tensor, at::Tensor> factors(const char* op, const at::Tensor& a, const at::Tensor& b,
                                          at::ScalarType out) {
  if (a.device() != b.device()) refuse(op, "operands on several devices");
  if (a.scalar_type() != b.scalar_type()) refuse(op, "operands of several dtypes");
  const bool is_half = a.scalar_type() == at::kHalf || a.scalar_type() == at::kBFloat16;
  if (out != a.scalar_type() && !(is_half && out == at::kFloat)) {
    refuse(op, "out_dtype must be the operands' dtype, or fp32 for fp16 and bf16");
  }
  return {view_of(a).to(out), view_of(b).to(out)};
}

at::Tensor addend(const char* op, const at::Tensor& self, const at::Tensor& a, at::ScalarType out) {
  if (self.device() != a.device()) refuse(op, "operands on several devices");
  if (self.scalar_type() != out && self.scalar_type() != a.scalar_type()) {
    refuse(op, "the addend has a third dtype");
  }
  return view_of(self).to(out);
}

at::Tensor mm(const at::Tensor& a, const at::Tensor& b, at::ScalarType out) {
  const at::AutoDispatchBelowADInplaceOrView guard;
  const auto [x, y] = factors("aten::mm", a, b, out);
  begin_kernel("aten::mm.dtype");
  return to_device(at::mm(x, y), a.device().index());
}

at::Tensor bmm(const at::Tensor& a, const at::Tensor& b, at::ScalarType out) {
  const at::AutoDispatchBelowADInplaceOrView guard;
  const auto [x, y] = factors("aten::bmm", a, b, out);
  begin_kernel("aten::bmm.dtype");
  return to_device(at::bmm(x, y), a.device().index());
}

at::Tensor addmm(const at::Tensor& self, const at::Tensor& a, const at::Tensor& b,
                 at::ScalarType out, const at::Scalar& beta, const at::Scalar& alpha) {
  const at::AutoDispatchBelowADInplaceOrView guard;
  const auto [x, y] = factors("aten::addmm", a, b, out);
  begin_kernel("aten::addmm.dtype");
  return to_device(at::addmm(addend("aten::addmm", self, a, out), x, y, beta, alpha),
                   a.device().index());
}

at::Tensor baddbmm(const at::Tensor& self, const at::Tensor& a, const at::Tensor& b,
                   at::ScalarType out, const at::Scalar& beta, const at::Scalar& alpha) {
  const at::AutoDispatchBelowADInplaceOrView guard;
  const auto [x, y] = factors("aten::baddbmm", a, b, out);
  begin_kernel("aten::baddbmm.dtype");
  return to_device(at::baddbmm(addend("aten::baddbmm", self, a, out), x, y, beta, alpha),
                   a.device().index());
}

std::tuple<at::Tensor, at::Tensor> native_dropout(const at::Tensor& x, double p,
                                                  std::optional<bool> train) {
  begin_kernel("aten::native_dropout");
  const at::AutoDispatchBelowADInplaceOrView guard;
  const c10::DeviceIndex index = x.device().index();
  const at::Tensor view = view_of(x);
  at::Tensor mask = at::ones_like(view, view.options().dtype(at::kBool));
  if (!train.value_or(true)) return {to_device(view, index), to_device(mask, index)};
  mask.bernoulli_(1 - p, drawing_generator(default_generator(index)));
  const double scale = p < 1 ? 1 / (1 - p) : 0;
  return {to_device(at::mul(at::mul(view, mask), scale), index), to_device(mask, index)};
}

}  // namespace

TORCH_LIBRARY_IMPL(aten, CUDA, m) {
  m.impl("mm.dtype", &mm);
  m.impl("bmm.dtype", &bmm);
  m.impl("addmm.dtype", &addmm);
  m.impl("baddbmm.dtype", &baddbmm);
  m.impl("native_dropout", &native_dropout);
}

}  // namespace fake_cuda
