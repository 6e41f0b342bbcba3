// Constants for the contrastive terms that do not train the model's own. The configuration's value
// wins over the source's tensor. A CLIP has no logit bias, so a sigmoid term on it needs one in the
// configuration: any default would change the loss silently.
#include "saferclip/prepare/reference_scale.h"

#include <ATen/ATen.h>

#include <cmath>

#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"
#include "saferclip/objective/loss_set.h"

namespace saferclip {

double reference_logit_bias(const ObjectiveOptions& objective, const WeightsSource& source) {
  const bool has_own = form_of(source.geometry.family).has_logit_bias;
  if (!needs_logit_bias(objective)) return 0;
  if (uses_model_scale(objective)) {
    if (has_own) return 0;
    throw ConfigError(cat("objective.name: ", objective.name,
                          ": a CLIP model has no logit bias to train; set objective.name: clip"));
  }
  if (objective.logit_bias) return *objective.logit_bias;
  if (!has_own) {
    throw ConfigError(
        "objective.logit_bias: auto: a CLIP model has no logit bias; set a value (SigLIP starts "
        "from -10) or set objective.pres_cross.form to infonce");
  }
  return source.tensor("logit_bias").to(at::kDouble).item<double>();
}

double infonce_scale(const ObjectiveOptions& objective, const WeightsSource& source) {
  if (objective.infonce_scale) return *objective.infonce_scale;
  return std::exp(source.tensor("logit_scale").to(at::kDouble).item<double>());
}

}  // namespace saferclip
