// glibc returns blocks above M_MMAP_THRESHOLD, and a free heap top above M_TRIM_THRESHOLD, to the
// kernel at once; both are raised. Peak memory comes from /proc and not from getrusage, which also
// counts what the parent process held at the fork.
#include "saferclip/core/memory.h"

#include <fstream>
#include <string>

#if defined(__GLIBC__) || defined(__linux__)
#include <malloc.h>
#endif

namespace saferclip {

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

std::uint64_t peak_memory_bytes() {
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
