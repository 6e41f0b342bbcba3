// glibc returns blocks above M_MMAP_THRESHOLD, and a free heap top above M_TRIM_THRESHOLD, to the
// kernel at once; both are raised. Peak memory comes from /proc and not from getrusage, which also
// counts what the parent process held at the fork.
#include "saferclip/core/memory.h"

#include <algorithm>
#include <fstream>
#include <optional>
#include <string>

#if defined(__GLIBC__) || defined(__linux__)
#include <malloc.h>
#endif

namespace saferclip {
namespace {

// The number after `label` in one of /proc's lists of KiB, in bytes.
std::uint64_t listed_bytes(const char* file, const std::string& label) {
  std::ifstream list(file);
  for (std::string word; list >> word;) {
    if (word != label) continue;
    std::uint64_t kib = 0;
    list >> kib;
    return kib * 1024;
  }
  return 0;
}

// The only number in a file of the control group; none where there is no limit ("max").
std::optional<std::uint64_t> group_bytes(const char* file) {
  std::uint64_t bytes = 0;
  if (std::ifstream(file) >> bytes) return bytes;
  return std::nullopt;
}

}  // namespace

void keep_freed_memory() {
#if defined(__GLIBC__)
  constexpr int kLargestThreshold = 32 << 20;  // the largest that glibc accepts
  // NOLINTBEGIN(concurrency-mt-unsafe): mallopt is unsafe only before the first allocation
  ::mallopt(M_MMAP_THRESHOLD, kLargestThreshold);
  ::mallopt(M_TRIM_THRESHOLD, 1 << 30);
  ::mallopt(M_TOP_PAD, 64 << 20);
  // NOLINTEND(concurrency-mt-unsafe)
#endif
}

void give_back_freed_memory() {
#if defined(__GLIBC__)
  ::malloc_trim(0);
#endif
}

std::uint64_t peak_memory_bytes() { return listed_bytes("/proc/self/status", "VmHWM:"); }

std::uint64_t available_memory_bytes() {
  std::uint64_t available = listed_bytes("/proc/meminfo", "MemAvailable:");
  const auto limit = group_bytes("/sys/fs/cgroup/memory.max");
  const auto used = group_bytes("/sys/fs/cgroup/memory.current");
  if (limit && used) available = std::min(available, *limit - std::min(*limit, *used));
  return available;
}

}  // namespace saferclip
