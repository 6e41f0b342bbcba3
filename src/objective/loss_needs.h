// The weights that count in an objective.
#pragma once

#include <string>

#include "saferclip/objective/objective_options.h"

namespace saferclip {

// 0 for terms switched off by a form or by cross.sides; entail_* include entailment_weight.
double weight_of(const ObjectiveOptions& options, const std::string& term);

// What the weighted sum of the terms is divided by.
double divisor_of(const ObjectiveOptions& options);

}  // namespace saferclip
