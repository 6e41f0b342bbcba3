// Rows per second of the steps alone, without the validations and saves between them.
#pragma once

#include <chrono>
#include <cstdint>

namespace saferclip {

class Throughput {
 public:
  using Clock = std::chrono::steady_clock;

  // Starts the clock, again after work that is not part of a step.
  void restart(Clock::time_point now = Clock::now()) { last_ = now; }

  // The rate of a step of `rows` rows that ended at `now`; the next step begins there.
  double step_rate(std::int64_t rows, Clock::time_point now = Clock::now()) {
    const double seconds = std::chrono::duration<double>(now - last_).count();
    last_ = now;
    return static_cast<double>(rows) / seconds;
  }

 private:
  Clock::time_point last_ = Clock::now();
};

}  // namespace saferclip
