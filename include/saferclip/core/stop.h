// A request to stop, by a signal or a time limit, that long work checks between its pieces.
#pragma once

#include <atomic>
#include <string>

namespace saferclip {

class StopFlag {
 public:
  // `exit_code` of the process: 128 + signal or kOutOfTime. The first request wins.
  // Async-signal-safe.
  void request(int exit_code) noexcept;
  // 0: no request.
  int exit_code() const noexcept { return exit_code_; }

 private:
  std::atomic<int> exit_code_{0};
};

// Throws Interrupted with `message` if `stop` is not null and a request was made.
void throw_if_stopped(const StopFlag* stop, const std::string& message);

}  // namespace saferclip
