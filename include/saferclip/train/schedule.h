// The learning rate as a pure function of the step.
#pragma once

#include <cstdint>

#include "saferclip/train/train_options.h"

namespace saferclip {

// Rate of step `step` (from 0) out of `total`: linear warm-up to `peak`, then constant, or cosine
// or linear decay to final_fraction · peak at the last step.
double learning_rate(const ScheduleOptions& options, double peak, std::int64_t step,
                     std::int64_t total);

}  // namespace saferclip
