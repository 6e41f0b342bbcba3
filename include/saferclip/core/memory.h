// Memory of the process and of the machine, in bytes.
#pragma once

#include <cstdint>

namespace saferclip {

// From here on, freed memory stays with the process for the next tensor. A training step frees and
// allocates the same sizes over and over; getting fresh, zeroed pages from the kernel each time
// took a quarter of a small model's step. Costs three percent of peak memory. glibc only.
void keep_freed_memory();

// Returns all free memory to the system. For use after work with other allocation sizes than the
// steps', whose free blocks would otherwise fragment.
void give_back_freed_memory();

// The process's peak resident memory in bytes, including the pages of mapped files; 0 if unknown
// (VmHWM of /proc).
std::uint64_t peak_memory_bytes();

// Memory that this process could still allocate without swapping: what the kernel estimates, or the
// rest of its control group's limit if that is less; 0 if unknown (MemAvailable of /proc/meminfo).
std::uint64_t available_memory_bytes();

}  // namespace saferclip
