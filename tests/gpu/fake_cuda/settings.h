// What the environment says about the fake device, read once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace fake_cuda {

// The CUDA version that LibTorch is taken to be built for, 13.0. An older driver shows it no card.
inline constexpr int kRuntimeVersion = 13000;

struct Settings {
  int devices = 2;               // FAKE_CUDA_COUNT; 0: a CUDA build on a machine without a card
  std::size_t limit_bytes = 0;   // FAKE_CUDA_LIMIT_MIB, of each device; 0: no limit
  std::int64_t lose_after = -1;  // FAKE_CUDA_LOSE_AFTER, kernels; below 0: never
  int capability_major = 9;      // FAKE_CUDA_CAPABILITY
  int capability_minor = 0;
  int driver_version = 13000;   // FAKE_CUDA_DRIVER, 13.0; 0: no driver
  bool aborts_at_race = false;  // FAKE_CUDA_ABORT
  std::string report_file;      // FAKE_CUDA_REPORT
  std::string operators_file;   // FAKE_CUDA_OPERATORS
};

// Ends the process with a message when a variable cannot be read: a test must not run on other
// settings than it names.
const Settings& settings();

}  // namespace fake_cuda
