// Copies between host and device, the way ATen's CUDA copy goes about them: what cannot be moved as
// it lies is made contiguous and converted first, on the device where the source is there, in
// pageable memory where it is on the host. So a pinned tensor of another dtype is a pageable upload
// here too. The host waits unless the copy was asked to be asynchronous and its host side is
// pinned.
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <torch/library.h>

#include <cstring>

#include "counts.h"
#include "device.h"
#include "kernels.h"
#include "memory.h"

namespace fake_cuda {
namespace {

std::string described(const char* what, const at::Tensor& t) {
  return c10::str(what, " ", t.scalar_type(), " ", t.sizes());
}

bool is_pinned(const at::Tensor& t) { return PinnedMemory::get().owns(t.const_data_ptr()); }

char* address_of(const at::Tensor& on_device) {
  return Memory::get().for_kernels(on_device.const_data_ptr());
}

// Both contiguous and of one dtype from here on.
void move_up(const at::Tensor& host, const at::Tensor& device, bool non_blocking) {
  const StreamKey stream = current_stream(device.device().index());
  if (non_blocking && is_pinned(host)) {
    add(Counter::kPinnedUploads);
    Transfers::get().upload(static_cast<const char*>(host.const_data_ptr()), address_of(device),
                            host.nbytes(), stream);
    return;
  }
  if (non_blocking) {
    add(Counter::kPageableUploads);
  } else {
    add_wait(Counter::kWaitingUploads, described("upload", host));
    Transfers::get().wait_for_stream(stream);
  }
  Transfers::get().arrive_from_all(address_of(device), device.nbytes());
  std::memcpy(address_of(device), host.const_data_ptr(), host.nbytes());
}

void move_down(const at::Tensor& device, const at::Tensor& host, bool non_blocking) {
  const StreamKey stream = current_stream(device.device().index());
  Transfers::get().arrive(address_of(device), device.nbytes(), stream);
  char* target = static_cast<char*>(host.mutable_data_ptr());
  if (non_blocking && is_pinned(host)) {
    add(Counter::kLateDownloads);
    Transfers::get().download(address_of(device), target, host.nbytes(), stream);
    return;
  }
  add_wait(Counter::kWaitingDownloads, described("download", device));
  Transfers::get().wait_for_stream(stream);
  std::memcpy(target, address_of(device), host.nbytes());
}

bool lie_alike(const at::Tensor& a, const at::Tensor& b) {
  if (a.scalar_type() != b.scalar_type() || a.sizes() != b.sizes()) return false;
  if (a.is_contiguous() && b.is_contiguous()) return true;
  return a.strides() == b.strides() && a.is_non_overlapping_and_dense();
}

void copy_between_devices(const at::Tensor& from, const at::Tensor& to) {
  begin_kernel("aten::copy_");
  add(Counter::kDeviceCopies);
  Views views;
  const at::Tensor target = views.of(to), source = views.of(from);
  const at::AutoDispatchBelowADInplaceOrView guard;
  at::Tensor(target).copy_(source);
}

void copy_across(const at::Tensor& from, const at::Tensor& to, bool non_blocking) {
  const bool is_upload = is_on_device(to);
  if (lie_alike(from, to)) {
    is_upload ? move_up(from, to, non_blocking) : move_down(from, to, non_blocking);
    return;
  }
  const at::Tensor source = from.to(to.scalar_type()).expand_as(to).contiguous();
  const at::Tensor target =
      to.is_contiguous() ? to : at::empty_like(to, to.options(), at::MemoryFormat::Contiguous);
  is_upload ? move_up(source, target, non_blocking) : move_down(source, target, non_blocking);
  if (!target.is_same(to)) at::Tensor(to).copy_(target);
}

at::Tensor copy_from(const at::Tensor& from, const at::Tensor& to, bool non_blocking) {
  check_device_is_there();
  TORCH_CHECK(!from.is_meta() && !to.is_meta(), "fake CUDA: a meta tensor has no numbers");
  if (from.is_same(to) || to.numel() == 0) return to;
  if (is_on_device(from) && is_on_device(to)) {
    copy_between_devices(from, to);
  } else {
    copy_across(from, to, non_blocking);
  }
  return to;
}

at::Tensor& copy_(at::Tensor& to, const at::Tensor& from, bool non_blocking) {
  copy_from(from, to, non_blocking);
  return to;
}

at::Tensor copy_from_and_resize(const at::Tensor& from, const at::Tensor& to) {
  at::Tensor(to).resize_(from.sizes());
  return copy_from(from, to, false);
}

at::Scalar local_scalar(const at::Tensor& self) {
  check_device_is_there();
  add_wait(Counter::kItems, "item");
  Transfers::get().wait_for_stream(current_stream(self.device().index()));
  const at::AutoDispatchBelowADInplaceOrView guard;
  return view_of(self).item();
}

}  // namespace

TORCH_LIBRARY_IMPL(aten, CUDA, m) {
  m.impl("copy_", &copy_);
  m.impl("_copy_from", &copy_from);
  m.impl("_copy_from_and_resize", &copy_from_and_resize);
  m.impl("_local_scalar_dense", &local_scalar);
}

}  // namespace fake_cuda
