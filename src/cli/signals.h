// Ends a command early: SIGINT, SIGTERM or a time limit.
#pragma once

#include <chrono>
#include <optional>

#include "saferclip/core/stop.h"

namespace saferclip {

// From this call on, SIGINT and SIGTERM remove the temporary files and end the process at once with
// exit code 128 + signal. Call it first, while there is only one thread: all others must inherit
// its signal mask.
void watch_signals();

using SteadyTime = std::chrono::steady_clock::time_point;

// From this call on, a signal or reaching `limit` first sets the returned flag. If the command has
// not ended after `grace`, the process is ended as above; without `grace` it waits. A second SIGINT
// always ends the process at once.
const StopFlag& ask_before_ending(std::optional<std::chrono::seconds> grace,
                                  std::optional<SteadyTime> limit = {});

// Long enough to finish one piece of work, short enough for the 30 seconds that batch queues allow.
inline constexpr std::chrono::seconds kGrace{20};

}  // namespace saferclip
