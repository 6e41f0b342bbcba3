// A shared counter instead of fixed shares: one huge picture must not hold up the others. An
// exception moves the counter to the end, which lets the other threads finish only what they have
// begun.
#include "saferclip/core/workers.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace saferclip {

void for_each_index(std::int64_t count, int threads,
                    const std::function<void(std::int64_t)>& work) {
  std::atomic<std::int64_t> next = 0;
  std::exception_ptr problem;
  std::mutex problem_lock;
  const auto run = [&] {
    try {
      for (std::int64_t i = next++; i < count; i = next++) work(i);
    } catch (...) {
      next = count;
      const std::lock_guard lock(problem_lock);
      if (!problem) problem = std::current_exception();
    }
  };
  {
    std::vector<std::jthread> others;
    for (std::int64_t i = 1; i < std::min<std::int64_t>(count, threads); ++i)
      others.emplace_back(run);
    run();
  }
  if (problem) std::rethrow_exception(problem);
}

}  // namespace saferclip
