// Independent tasks on several threads, for tasks that differ in length (pictures) and may throw.
// Regular loops over tensors use at::parallel_for instead.
#pragma once

#include <cstdint>
#include <functional>

namespace saferclip {

// Calls work(0) … work(count - 1), each once, on at most `threads` threads, the caller's included.
// Each thread takes the next index as it becomes free. After an exception no further index is
// taken, and the first exception is rethrown to the caller.
void for_each_index(std::int64_t count, int threads, const std::function<void(std::int64_t)>& work);

}  // namespace saferclip
