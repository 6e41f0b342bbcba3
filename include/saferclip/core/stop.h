// A wish to end, from a signal or a time limit, that long work asks for between its pieces.
#pragma once

#include <atomic>
#include <string>

namespace saferclip {

class StopFlag {
 public:
  // `exit_code`: what the process is to end with, 128 + signal or kOutOfTime. The first wish stays.
  void ask(int exit_code) noexcept;
  // 0: nobody has asked.
  int exit_code() const noexcept { return exit_code_; }

 private:
  std::atomic<int> exit_code_{0};
};

// Throws Interrupted with `message` when there is a flag and somebody has asked.
void throw_if_asked(const StopFlag* stop, const std::string& message);

}  // namespace saferclip
