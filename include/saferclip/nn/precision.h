// The devices and number formats that this machine supports.
#pragma once

#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>

#include <string>

namespace saferclip {

// "auto", "cpu", "cuda", "cuda:1"; auto is CUDA if the machine has it. Without an index it is card
// `local_rank`, this process's among those of the machine. Throws ConfigError for any other word
// and for a device that does not exist.
c10::Device parse_device(const std::string& word, int local_rank = 0);

// Whether bf16 matrix products are fast on the device (CPU: AVX512-BF16 or AMX; CUDA: compute
// capability 8.0 or more).
bool has_fast_bf16(c10::Device device);
// Why they are not, for messages.
std::string why_no_bf16(c10::Device device);

// Whether the device can round the operands of fp32 products to TF32 (CUDA, compute capability 8.0
// or more).
bool has_tf32(c10::Device device);

}  // namespace saferclip
