// Where a batch lies on the host.
#pragma once

namespace saferclip {

// Pinned memory lets a transfer to the GPU run beside other work; only CUDA builds can make it.
enum class HostMemory { kPageable, kPinned };
inline bool is_pinned(HostMemory memory) { return memory == HostMemory::kPinned; }

}  // namespace saferclip
