// Scale and bias of the frozen reference, which the InfoNCE and sigmoid terms take as constants.
#pragma once

#include "saferclip/objective/objective_options.h"
#include "saferclip/weights/weights.h"

namespace saferclip {

// exp(logit_scale) of the source, or what the configuration says (objective.infonce_scale).
double infonce_scale(const ObjectiveOptions& objective, const WeightsSource& source);

// The bias of the sigmoid terms; 0 when the objective has none. Throws ConfigError when it has
// terms that need one and neither the weights nor the configuration give it.
double reference_logit_bias(const ObjectiveOptions& objective, const WeightsSource& source);

}  // namespace saferclip
