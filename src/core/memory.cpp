#include "saferclip/core/memory.h"

#include <fstream>
#include <string>

#if defined(__GLIBC__) || defined(__linux__)
#include <malloc.h>
#endif

namespace saferclip {

void keep_freed_memory() {
#if defined(__GLIBC__)
  constexpr int kLargestThreshold = 32 << 20;  // glibc takes no more
  // NOLINTBEGIN(concurrency-mt-unsafe): glibc means a call before the first allocation
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

std::uint64_t peak_memory_bytes() {
  // Not getrusage's, which counts what the parent held when it forked.
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    if (word != "VmHWM:") continue;
    std::uint64_t kib = 0;
    status >> kib;
    return kib * 1024;
  }
  return 0;
}

}  // namespace saferclip
