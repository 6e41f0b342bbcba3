// The stop request of signals and time limits. A lock-free atomic, because a signal handler sets
// it; compare and exchange, so that the exit code of the first request stays if a second signal
// follows.
#include "saferclip/core/stop.h"

#include "saferclip/core/error.h"

namespace saferclip {

void StopFlag::request(int exit_code) noexcept {
  int no_request = 0;
  exit_code_.compare_exchange_strong(no_request, exit_code);
}

void throw_if_stopped(const StopFlag* stop, const std::string& message) {
  if (stop != nullptr && stop->exit_code() != 0) throw Interrupted(message, stop->exit_code());
}

}  // namespace saferclip
