// Device and number formats that this machine can do.
#pragma once

#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>

#include <string>

namespace saferclip {

// "auto", "cpu", "cuda", "cuda:1". auto takes CUDA when there. Throws ConfigError when a device is
// asked for by name and not there, or the word is none of these.
c10::Device parse_device(const std::string& word);

// Whether bf16 matrix products are fast on the device (CPU: AVX512-BF16 or AMX).
bool has_fast_bf16(c10::Device device);

}  // namespace saferclip
