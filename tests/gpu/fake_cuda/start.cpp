// The beginning and the end: hooks and allocators are registered before main, and at exit the
// reports are written. A race that was found makes the process end with status 86 even where the
// program itself succeeded, so that no test passes over one. The C functions are those of
// ../fake_cuda.h.
#include <ATen/core/CachingHostAllocator.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "../fake_cuda.h"
#include "counts.h"
#include "device.h"
#include "memory.h"
#include "settings.h"

namespace {

constexpr int kRaceStatus = 86;

void end() {
  fake_cuda::Transfers::get().wait_for_all();
  fake_cuda::write_files();
  if (fake_cuda::read_count("races") == 0) return;
  std::fflush(nullptr);
  ::_exit(kRaceStatus);
}

const bool has_started = [] {
  c10::SetAllocator(fake_cuda::kType, fake_cuda::device_allocator());
  at::setHostAllocator(fake_cuda::kType,
                       static_cast<at::HostAllocator*>(fake_cuda::pinned_allocator()));
  fake_cuda::install_touch_handler();
  std::atexit(&end);
  return true;
}();

}  // namespace

namespace at {

struct CUDAHooks final : CUDAHooksInterface {
  explicit CUDAHooks(CUDAHooksArgs) {}
  void init() const override {}
  bool hasCUDA() const override { return fake_cuda::settings().devices > 0; }
  bool hasCUDART() const override { return true; }
  long versionCUDART() const override { return fake_cuda::kRuntimeVersion; }
  std::string showConfig() const override { return "fake CUDA"; }
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return hasCUDA(); }
  bool hasPrimaryContext(DeviceIndex) const override { return hasCUDA(); }
  int getNumGPUs() const override { return fake_cuda::settings().devices; }
  DeviceIndex deviceCount() const override { return static_cast<DeviceIndex>(getNumGPUs()); }
  DeviceIndex current_device() const override { return fake_cuda::current_device(); }
  DeviceIndex getCurrentDevice() const override { return fake_cuda::current_device(); }
  void setCurrentDevice(DeviceIndex index) const override { fake_cuda::set_current_device(index); }
  DeviceIndex exchangeDevice(DeviceIndex index) const override {
    const DeviceIndex old = fake_cuda::current_device();
    fake_cuda::set_current_device(index);
    return old;
  }
  DeviceIndex maybeExchangeDevice(DeviceIndex index) const override {
    return exchangeDevice(index);
  }
  bool isPinnedPtr(const void* address) const override {
    return fake_cuda::PinnedMemory::get().owns(address);
  }
  Allocator* getPinnedMemoryAllocator() const override { return fake_cuda::pinned_allocator(); }
  Allocator* getCUDADeviceAllocator() const override { return fake_cuda::device_allocator(); }
  Device getDeviceFromPtr(void*) const override {
    return {fake_cuda::kType, fake_cuda::current_device()};
  }
  const Generator& getDefaultGenerator(DeviceIndex index) const override {
    return fake_cuda::default_generator(index);
  }
  Generator getNewGenerator(DeviceIndex index) const override {
    return fake_cuda::new_generator(index);
  }
  void deviceSynchronize(DeviceIndex) const override {
    fake_cuda::check_device_is_there();
    fake_cuda::add_wait(fake_cuda::Counter::kOtherWaits, "deviceSynchronize");
    fake_cuda::Transfers::get().wait_for_all();
  }
};

REGISTER_CUDA_HOOKS(CUDAHooks)

}  // namespace at

extern "C" {

void fake_cuda_reset() {
  fake_cuda::reset_counts();
  for (int device = 0; device < fake_cuda::settings().devices; ++device) {
    fake_cuda::Memory::get().reset_peak(device);
  }
}
std::uint64_t fake_cuda_count(const char* name) { return fake_cuda::read_count(name); }
std::uint64_t fake_cuda_peak_bytes(int device) {
  return fake_cuda::Memory::get().usage(device).peak;
}
void fake_cuda_limit_bytes(std::uint64_t bytes) { fake_cuda::Memory::get().set_limit(bytes); }
void fake_cuda_lose_after(std::int64_t kernels) { fake_cuda::lose_device_after(kernels); }
std::uint64_t fake_cuda_take_races() { return fake_cuda::take_races(); }
}
