// Scale and bias of the frozen reference: constants of the InfoNCE and sigmoid terms.
#pragma once

#include "saferclip/objective/objective_options.h"
#include "saferclip/weights/weights.h"

namespace saferclip {

// objective.infonce_scale if set, else the source's exp(logit_scale).
double infonce_scale(const ObjectiveOptions& objective, const WeightsSource& source);

// The bias of the sigmoid terms; 0 when the objective needs none or trains the model's own. Throws
// ConfigError when it is needed and neither the weights nor the configuration give it.
double reference_logit_bias(const ObjectiveOptions& objective, const WeightsSource& source);

}  // namespace saferclip
