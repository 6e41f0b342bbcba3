// Independent pieces of work on several threads, for pieces that differ in length (pictures) and
// may throw; even loops over tensors are at::parallel_for's.
#pragma once

#include <cstdint>
#include <functional>

namespace saferclip {

// Calls work(0) … work(count - 1), each once, on at most `threads` threads, the caller's included.
// A thread takes the next index when it is done with one, so that pieces may differ in length.
// After an exception no new index is taken; the first one is thrown to the caller.
void for_each_index(std::int64_t count, int threads, const std::function<void(std::int64_t)>& work);

}  // namespace saferclip
