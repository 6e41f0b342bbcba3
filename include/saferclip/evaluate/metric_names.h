// Which numbers a validation will give, known before anything is embedded.
#pragma once

#include <string>
#include <vector>

#include "saferclip/config/run_config.h"
#include "saferclip/data/manifest.h"

namespace saferclip {

// Dotted paths below "after" of a validation during training, those that checkpoint.best_metric may
// name: what the same code measures on a handful of made-up rows of the same kind.
std::vector<std::string> validation_metrics(const RunConfig& config, const Manifest& validation);

}  // namespace saferclip
