// The lines of metrics.jsonl as curves.
#pragma once

#include <map>
#include <string>

#include "report/charts.h"

namespace saferclip {

struct TrainingCurves {
  Points loss;
  Points rate;
  Points validation;  // loss of the objective on the validation rows
  std::map<std::string, Points> terms;
};

// Skips broken lines: the run may still be writing.
TrainingCurves read_training_lines(const std::string& metrics);

}  // namespace saferclip
