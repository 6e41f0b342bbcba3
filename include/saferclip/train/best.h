// Which validation of a run is the best, and when the run is out of patience.
#pragma once

#include <optional>
#include <string>

#include "saferclip/train/checkpoint.h"
#include "saferclip/train/train_options.h"

namespace saferclip {

// A validation's result: the JSON for the metrics line, the value that decides which checkpoint is
// best (higher is better), and a line for the terminal.
struct ValidationResult {
  std::string json;
  std::optional<double> best_value;
  std::optional<double> loss;  // the objective over the validation rows
  std::string summary;
};

// Records the result of step `state.step` in the state: best value, lowest loss, and how many
// validations in a row improved neither. Ties keep the earlier step. Returns whether the value is
// the best so far.
bool record_validation(const ValidationResult& result, TrainState& state);

// Whether `checkpoint.patience` ends the run.
bool is_out_of_patience(const TrainState& state, const CheckpointOptions& options);

}  // namespace saferclip
