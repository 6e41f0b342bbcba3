// Prepares items ahead of time on one thread and hands them out in order.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>

namespace saferclip {

// Calls make(step) for begin, begin + 1, … end - 1 on a worker thread, at most `depth` items ahead
// of next(). What make throws for a step is rethrown by the next() for that step. The destructor
// waits for a running call.
template <class T>
class Prefetcher {
 public:
  Prefetcher(std::function<T(std::int64_t)> make, std::int64_t begin, std::int64_t end,
             std::size_t depth)
      : make_(std::move(make)), end_(end), depth_(depth), worker_([this, begin] { work(begin); }) {}

  ~Prefetcher() {
    {
      const std::lock_guard guard(mutex_);
      is_stopped_ = true;
    }
    changed_.notify_all();
    worker_.join();
  }
  Prefetcher(const Prefetcher&) = delete;
  Prefetcher& operator=(const Prefetcher&) = delete;

  T next() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !ready_.empty() || failure_; });
    if (ready_.empty()) std::rethrow_exception(failure_);
    T item = std::move(ready_.front());
    ready_.pop_front();
    lock.unlock();
    changed_.notify_all();
    return item;
  }

 private:
  void work(std::int64_t begin) {
    for (std::int64_t step = begin; step < end_; ++step) {
      {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return ready_.size() < depth_ || is_stopped_; });
        if (is_stopped_) return;
      }
      try {
        T item = make_(step);
        const std::lock_guard guard(mutex_);
        ready_.push_back(std::move(item));
      } catch (...) {
        const std::lock_guard guard(mutex_);
        failure_ = std::current_exception();
      }
      changed_.notify_all();
      if (failure_) return;
    }
  }

  std::function<T(std::int64_t)> make_;
  std::int64_t end_;
  std::size_t depth_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<T> ready_;
  std::exception_ptr failure_;
  bool is_stopped_ = false;
  std::thread worker_;
};

}  // namespace saferclip
