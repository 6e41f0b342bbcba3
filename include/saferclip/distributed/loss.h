// The end of one process of a run, as the others learn of it.
#pragma once

#include <functional>
#include <string>

#include "saferclip/core/error.h"

namespace saferclip {

struct Loss {
  int rank = 0;
  std::string host;
  // Complete: which rank on which host, what happened, what to do.
  std::string sentence;
  // What this process should end with: kProcessLost, or what the other one announced.
  int exit_code = kProcessLost;
};

// Called once, on a thread of its own, while the main thread may be computing or waiting for a
// message that will never come. It should log the sentence and end the process with _exit: nothing
// can free threads that are stuck in the network.
using OnLoss = std::function<void(const Loss&)>;

// Thrown by operations that the loss of a process ended, if OnLoss has returned.
struct ProcessLost : Error {
  explicit ProcessLost(const Loss& loss) : Error(loss.sentence, loss.exit_code) {}
};

}  // namespace saferclip
