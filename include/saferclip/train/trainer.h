// The training loop: it decides the order; the work is done by the functions that it calls.
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
  // The batch of a step in `memory` of the host. A pure function of the
  // step, called from the prefetch thread.
  virtual Batch gather(std::int64_t step, HostMemory memory) const = 0;
  // The batch, already on its device, with its pictures augmented.
  virtual Batch augment(Batch batch) const { return batch; }
  // A manifest row's name in errors: its id.
  virtual std::string row_name(std::int64_t row) const { return std::to_string(row); }
};

// Measures the model after `step`. Called every `validate_every_epochs` epochs and at the end.
class StepValidation {
 public:
  virtual ~StepValidation() = default;
  virtual ValidationResult validate(std::int64_t step) = 0;
};

// The parts of a run; all must outlive it.
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
  StepOptions step;  // includes TrainOptions
  ScheduleOptions schedule;
  CheckpointOptions checkpoint;
  LogOptions log;
  std::int64_t validate_every_epochs = 1;
  double peak_lr = 1e-4;
};

// Steps of the whole run: max_steps, else those of all epochs.
std::int64_t total_steps(const TrainOptions& options, const Sampler& sampler);

// Trains from state.step to the end and leaves a checkpoint of the last step. Once `step.stop` is
// set, it abandons the current step or validation, saves the state before it and throws
// Interrupted. Throws NumericError for a non-finite loss or gradient, which is never skipped (the
// last good checkpoint stays), and Error when a checkpoint cannot be written.
void run_training(const TrainerParts& parts, const TrainerOptions& options, TrainState& state);

}  // namespace saferclip
