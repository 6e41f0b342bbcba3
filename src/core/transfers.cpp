// LibTorch's caching host allocator keeps a pinned block until the copies that it takes part in are
// done, so a staging buffer may be dropped while its upload is still under way. A device tensor may
// be dropped while it is downloaded, because its allocator is told of the copy's stream.
#include "saferclip/core/transfers.h"

#include <ATen/ATen.h>
#include <c10/core/StreamGuard.h>
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
  const c10::impl::VirtualGuardImpl device(tensor.device().type());
  if (!stream_) stream_ = device.getStreamFromGlobalPool(tensor.device());
  c10::Event is_ready(tensor.device().type());
  is_ready.record(device.getStream(tensor.device()));
  is_ready.block(*stream_);
  at::Tensor host = pinned_like(tensor);
  const c10::StreamGuard guard(*stream_);
  host.copy_(tensor, /*non_blocking=*/true);
  device.recordDataPtrOnStream(tensor.storage().data_ptr(), *stream_);
  if (!last_) last_ = std::make_shared<c10::Event>(tensor.device().type());
  last_->record(*stream_);
  return host;
}

void Downloads::precede_later_work() const {
  if (!last_) return;
  const c10::impl::VirtualGuardImpl device(stream_->device_type());
  last_->block(device.getStream(stream_->device()));
}

void Downloads::wait() {
  if (last_) last_->synchronize();
  last_.reset();
}

}  // namespace saferclip
