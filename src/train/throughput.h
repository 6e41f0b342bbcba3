// Rows a second of the steps themselves: validations and saves between two steps do not count.
#pragma once

#include <chrono>
#include <cstdint>

namespace saferclip {

class Throughput {
 public:
  using Clock = std::chrono::steady_clock;

  // Starts, or starts anew behind work that is no step.
  void restart(Clock::time_point now = Clock::now()) { last_ = now; }

  // The rate of a step of `rows` rows that ended at `now`; the next one begins there.
  double step_rate(std::int64_t rows, Clock::time_point now = Clock::now()) {
    const double seconds = std::chrono::duration<double>(now - last_).count();
    last_ = now;
    return static_cast<double>(rows) / seconds;
  }

 private:
  Clock::time_point last_ = Clock::now();
};

}  // namespace saferclip
