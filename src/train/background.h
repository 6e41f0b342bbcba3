// Runs one task at a time beside the training thread.
#pragma once

#include <atomic>
#include <exception>
#include <functional>
#include <thread>
#include <utility>

namespace saferclip {

class Background {
 public:
  Background() = default;
  ~Background() {
    if (worker_.joinable()) worker_.join();
  }
  Background(const Background&) = delete;
  Background& operator=(const Background&) = delete;

  // Waits for the previous task, rethrows what it threw, then starts.
  void start(std::function<void()> work) {
    wait();
    has_failed_ = false;
    worker_ = std::thread([this, work = std::move(work)] {
      try {
        work();
      } catch (...) {
        failure_ = std::current_exception();
        has_failed_ = true;
      }
    });
  }

  // Waits for the task; rethrows what it threw, once.
  void wait() {
    if (worker_.joinable()) worker_.join();
    if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
  }

  // Rethrows if the task has failed; does not wait for it.
  void check() {
    if (has_failed_) wait();
  }

 private:
  std::thread worker_;
  std::atomic<bool> has_failed_{false};
  std::exception_ptr failure_;
};

}  // namespace saferclip
