// What ends a command before its time: SIGINT, SIGTERM, a time limit.
#pragma once

#include <chrono>
#include <optional>

#include "saferclip/core/stop.h"

namespace saferclip {

// From here on SIGINT and SIGTERM end the process with 128 + signal at once, its temporary files
// removed. To be called first, while there is one thread: the others must inherit its mask.
void watch_signals();

using SteadyTime = std::chrono::steady_clock::time_point;

// From here on a signal, or `limit`, first asks the flag. What has not ended after `grace` is ended
// as above; empty: it is waited for. A second SIGINT always ends at once.
const StopFlag& ask_before_ending(std::optional<std::chrono::seconds> grace,
                                  std::optional<SteadyTime> limit = {});

// Long enough for a piece of work, short enough for the 30 seconds that queues leave.
inline constexpr std::chrono::seconds kGrace{20};

}  // namespace saferclip
