// What the CUDA driver says of this machine's cards. Asked through the driver's C interface, which
// is found at run time, so no CUDA headers are needed and a CPU build can ask too.
#pragma once

#include <c10/core/Device.h>

#include <cstdint>
#include <optional>
#include <string>

namespace saferclip {

// Loads LibTorch's CUDA library where it lies beside its CPU library: a program that was linked
// with a CPU build then also uses a CUDA build of the same version. Call it before anything asks
// for a device. Returns what to tell the user if the library is there but cannot be loaded.
std::optional<std::string> load_cuda_library();

struct CudaCard {
  std::string name;  // "NVIDIA H200"
  int major = 0;     // compute capability
  int minor = 0;
  std::uint64_t memory_bytes = 0;

  std::string capability() const { return std::to_string(major) + "." + std::to_string(minor); }
};

// The newest CUDA version that the driver supports, "13.0"; none without a driver.
std::optional<std::string> cuda_driver_version();

// The version of the NCCL that LibTorch has loaded, "2.28.9"; none in a build without it.
std::optional<std::string> nccl_version();

// The card with this index among the visible ones (CUDA_VISIBLE_DEVICES); none if there is no such
// card or no driver.
std::optional<CudaCard> cuda_card(int index);

// Memory of the device in bytes: what tensors hold now, what they held at most, what other work has
// left free, and all there is.
struct DeviceMemory {
  std::uint64_t used = 0;
  std::uint64_t peak = 0;
  std::uint64_t free = 0;
  std::uint64_t total = 0;
};
// None for the CPU, or if the device cannot say.
std::optional<DeviceMemory> device_memory(c10::Device device);
// DeviceMemory::peak alone, which does not ask the driver; 0 where unknown.
std::uint64_t device_peak_bytes(c10::Device device);

// "cuda:0: NVIDIA H200, compute capability 9.0, 137.2 GiB of 139.8 GiB free, driver for CUDA 13.0".
std::string describe_card(c10::Device device);

// What to tell a user when LibTorch reports that the device's memory is exhausted, or that the
// device failed: the first sentence of the problem, what holds, and the cure.
std::string out_of_memory_text(const std::string& problem);
std::string device_failure_text(const std::string& problem);

// Why this LibTorch sees no CUDA device, and the cure: it is a CPU build, there is no driver, the
// driver is too old for it, or no card is visible.
std::string why_no_cuda();

}  // namespace saferclip
