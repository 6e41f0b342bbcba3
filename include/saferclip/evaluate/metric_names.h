// Which numbers a validation will give, known before anything is embedded.
#pragma once

#include <string>
#include <vector>

#include "saferclip/data/manifest.h"
#include "saferclip/eval/evaluate_options.h"
#include "saferclip/objective/objective_options.h"

namespace saferclip {

// Dotted paths below "after" of a validation during training, those that checkpoint.best_metric may
// name: what the same code measures on a handful of made-up rows of the same kind. `has_reference`:
// the run tunes weights, so that drift from them is measured.
struct MetricsRequest {
  const EvaluateOptions& evaluate;
  const ObjectiveOptions& objective;
  const Manifest& validation;
  bool has_reference = true;
};
std::vector<std::string> validation_metrics(const MetricsRequest& request);

}  // namespace saferclip
