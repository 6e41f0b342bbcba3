// LibTorch's caching host allocator keeps a pinned block until the copies that it takes part in are
// done, so a staging buffer may be dropped while its upload is still under way.
#include "saferclip/core/transfers.h"

#include <ATen/ATen.h>
#include <c10/core/impl/VirtualGuardImpl.h>

namespace saferclip {
namespace {

at::Tensor pinned_like(const at::Tensor& tensor) {
  const auto options = at::TensorOptions().dtype(tensor.dtype()).pinned_memory(true);
  return at::empty(tensor.sizes(), options);
}

}  // namespace

at::Tensor upload(const at::Tensor& host, at::Device device) {
  if (device.is_cpu() || !host.is_cpu()) return host.to(device);
  const at::Tensor staged = host.is_pinned() ? host : pinned_like(host).copy_(host);
  return staged.to(device, /*non_blocking=*/true);
}

at::Tensor Downloads::start(const at::Tensor& tensor) {
  if (tensor.is_cpu()) return tensor;
  at::Tensor host = pinned_like(tensor);
  host.copy_(tensor, /*non_blocking=*/true);
  if (!last_) last_ = std::make_shared<c10::Event>(tensor.device().type());
  last_->record(c10::impl::VirtualGuardImpl(tensor.device().type()).getStream(tensor.device()));
  return host;
}

void Downloads::wait() {
  if (last_) last_->synchronize();
  last_.reset();
}

}  // namespace saferclip
