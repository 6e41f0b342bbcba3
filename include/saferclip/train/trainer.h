// The training loop: order only. Everything it does is somebody else's function.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "saferclip/core/log.h"
#include "saferclip/data/batch.h"
#include "saferclip/data/sampler.h"
#include "saferclip/train/best.h"
#include "saferclip/train/checkpoint.h"
#include "saferclip/train/step.h"
#include "saferclip/train/train_options.h"

namespace saferclip {

// Where the rows of each step come from.
class StepBatches {
 public:
  virtual ~StepBatches() = default;
  // The batch of a step on the host, in pinned memory when `pin` is set. A pure function of the
  // step, called by another thread than the training's.
  virtual Batch gather(std::int64_t step, bool pin) const = 0;
  // The batch, already on its device, with its pictures augmented.
  virtual Batch augment(Batch batch) const { return batch; }
  // What an error calls a manifest row: its id.
  virtual std::string row_name(std::int64_t row) const { return std::to_string(row); }
};

// Measures the model as it is after `step`. Called after `validate_every_epochs` epochs and at the
// end.
class StepValidation {
 public:
  virtual ~StepValidation() = default;
  virtual ValidationResult validate(std::int64_t step) = 0;
};

// What a run works with; all of it must outlive the run.
struct TrainerParts {
  ClipModel& model;
  const std::vector<TrainedParameter>& parameters;
  Optimizer& optimizer;
  const Sampler& sampler;
  const StepBatches& batches;
  StepValidation* validation = nullptr;  // null: none
  CheckpointStore& checkpoints;
  Logger& log;
  std::filesystem::path run_folder;
  at::Device device = at::kCPU;
};

struct TrainerOptions {
  StepOptions step;  // with the options of the training
  ScheduleOptions schedule;
  CheckpointOptions checkpoint;
  std::int64_t log_every_steps = 1;
  std::int64_t validate_every_epochs = 1;
  double peak_lr = 1e-4;
};

// Steps of the whole run: max_steps, or what the epochs hold.
std::int64_t total_steps(const TrainOptions& options, const Sampler& sampler);

// Runs from state.step to the end and leaves a checkpoint of the last step. When `step.stop` asks,
// a step or a validation is given up, the state before it saved, Interrupted thrown. Throws
// NumericError for a non-finite loss or gradient, which is never stepped over (the last good
// checkpoint stays), Error when a checkpoint cannot be written.
void run_training(const TrainerParts& parts, const TrainerOptions& options, TrainState& state);

}  // namespace saferclip
