// The process's allocator.
#pragma once

#include <cstdint>

namespace saferclip {

// From here on freed memory stays with the process, for the next tensor: a training step frees and
// takes the same sizes again and again, and each time the kernel hands out cleared pages anew (a
// quarter of a small model's step). Costs three percent of peak memory. glibc only.
void keep_freed_memory();

// Gives what is free at this moment back to the system. For after work of another shape than the
// steps': what that leaves in the heap would be filled up piece by piece.
void give_back_freed_memory();

// The most memory that the process has had so far, mapped files that were read among it.
// 0 where the system does not say (VmHWM of /proc).
std::uint64_t peak_memory_bytes();

}  // namespace saferclip
