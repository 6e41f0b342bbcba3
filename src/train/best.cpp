// Compares each validation with the best of the run so far. The record is part of TrainState, so a
// resumed run continues it. A better value and a lower loss are tracked separately: the value
// decides which checkpoint is best, and either of them restores the run's patience.
#include "saferclip/train/best.h"

namespace saferclip {

bool record_validation(const ValidationResult& result, TrainState& state) {
  const bool is_best =
      result.best_value && (!state.best_value || *result.best_value > *state.best_value);
  if (is_best) {
    state.best_value = result.best_value;
    state.best_step = state.step;
  }
  const bool is_lower = result.loss && (!state.best_loss || *result.loss < *state.best_loss);
  if (is_lower) state.best_loss = result.loss;
  state.stale_validations = is_best || is_lower ? 0 : state.stale_validations + 1;
  return is_best;
}

bool is_out_of_patience(const TrainState& state, const CheckpointOptions& options) {
  return options.patience && state.stale_validations >= *options.patience;
}

}  // namespace saferclip
