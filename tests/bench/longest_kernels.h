// Which kernels take the most time, by LibTorch's profiler (Kineto).
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace saferclip {

struct KernelTime {
  std::string name;
  double seconds = 0;
  std::int64_t calls = 0;
};

struct Profile {
  bool has_kernels = false;  // false: the device reported none, these are the host's operators
  double seconds = 0;        // of all kernels or operators
  std::vector<KernelTime> longest;
};

// Runs `work` under the profiler. Kernels count by their time on the device; operators by their
// own time on the host, without that of operators they call.
Profile profile(const std::function<void()>& work, std::size_t count);

}  // namespace saferclip
