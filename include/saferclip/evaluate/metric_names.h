// The metrics that a validation will give, known before anything is embedded.
#pragma once

#include <string>
#include <vector>

#include "saferclip/data/manifest.h"
#include "saferclip/eval/evaluate_options.h"
#include "saferclip/objective/objective_options.h"

namespace saferclip {

// The dotted paths below "after" in a validation during training, which checkpoint.best_metric may
// name. They are what the same code measures on a few made-up rows of the same kind.
// `has_reference`: the run tunes existing weights, so drift from them is measured.
struct MetricsRequest {
  const EvaluateOptions& evaluate;
  const ObjectiveOptions& objective;
  const Manifest& validation;
  bool has_reference = true;
};
std::vector<std::string> validation_metrics(const MetricsRequest& request);

}  // namespace saferclip
