// The fake devices as LibTorch sees them: which is current, allocators, generators.
#pragma once

#include <ATen/core/Generator.h>
#include <c10/core/Allocator.h>
#include <c10/core/Device.h>

#include "transfers.h"

namespace fake_cuda {

constexpr c10::DeviceType kType = c10::DeviceType::CUDA;

// Of this thread.
c10::DeviceIndex current_device();
// Throws c10::AcceleratorError as CUDA does for a device that is not there.
void set_current_device(c10::DeviceIndex index);
// The current stream of a device, in this thread; below 0: of the current device.
StreamKey current_stream(c10::DeviceIndex index);

c10::Allocator* device_allocator();
c10::Allocator* pinned_allocator();

// The host's generator that draws a device's numbers: philox is not imitated.
const at::Generator& default_generator(c10::DeviceIndex index);
at::Generator new_generator(c10::DeviceIndex index);
const at::Generator& drawing_generator(const at::Generator& of_device);

}  // namespace fake_cuda
