// Warm-up: peak · (step + 1) / warmup_steps. After it, with p from 0 to 1 over the remaining steps:
//   rate = peak · (f + (1 - f) · s),  f = final_fraction,
//   s = (1 + cos πp) / 2 (cosine) or 1 - p (linear)
// There is no scheduler state, so a resumed run needs the step alone.
#include "saferclip/train/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace saferclip {

double learning_rate(const ScheduleOptions& options, double peak, std::int64_t step,
                     std::int64_t total) {
  if (step < options.warmup_steps) {
    return peak * static_cast<double>(step + 1) / static_cast<double>(options.warmup_steps);
  }
  if (options.name == ScheduleName::kConstant) return peak;
  const auto span =
      static_cast<double>(std::max<std::int64_t>(1, total - 1 - options.warmup_steps));
  const double progress = std::min(1.0, static_cast<double>(step - options.warmup_steps) / span);
  const double shape = options.name == ScheduleName::kCosine
                           ? 0.5 * (1 + std::cos(std::numbers::pi * progress))
                           : 1 - progress;
  return peak * (options.final_fraction + (1 - options.final_fraction) * shape);
}

}  // namespace saferclip
