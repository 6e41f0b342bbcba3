// The training loop: order only. Everything it does is somebody else's function.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "saferclip/core/log.h"
#include "saferclip/core/stop.h"
#include "saferclip/data/batch.h"
#include "saferclip/data/sampler.h"
#include "saferclip/train/checkpoint.h"
#include "saferclip/train/step.h"
#include "saferclip/train/train_options.h"

namespace saferclip {

// What a validation gives back: the JSON for the metrics line, the value that decides which
// checkpoint is best, and a line for the terminal.
struct ValidationResult {
  std::string json;
  std::optional<double> best_value;
  std::optional<double> loss;  // the objective over the validation rows
  std::string summary;
};

struct TrainerParts {
  ClipModel& model;
  const std::vector<TrainedParameter>& parameters;
  Optimizer& optimizer;
  const Sampler& sampler;
  const BatchSource& batches;
  CheckpointStore& checkpoints;
  Logger& log;
  std::filesystem::path run_folder;
  at::Device device = at::kCPU;
  // Whether a row's redirection terms count in an epoch.
  std::function<bool(std::int64_t row, std::int64_t epoch)> redirects = {};
  // What is done to the pictures of a batch on its device before the step; empty: nothing.
  std::function<Batch(const Batch& batch)> augment = {};
  // Called after `every_epochs` epochs and at the end; empty: no validation.
  std::function<ValidationResult(std::int64_t step)> validate = {};
  // What an error calls a row: its id in the manifest.
  std::function<std::string(std::int64_t row)> row_name = {};
  const StopFlag* stop = nullptr;
};

struct TrainerOptions {
  TrainOptions train;
  ScheduleOptions schedule;
  CheckpointOptions checkpoint;
  std::int64_t log_every_steps = 1;
  std::int64_t validate_every_epochs = 1;
  double peak_lr = 1e-4;
  StepOptions step;
};

// Steps of the whole run: max_steps, or what the epochs hold.
std::int64_t total_steps(const TrainOptions& options, const Sampler& sampler);

// Runs from state.step to the end and leaves a checkpoint of the last step. When `stop` asks, a
// step or a validation is given up, the state before it saved, Interrupted thrown. Throws
// NumericError for a non-finite loss or gradient, which is never stepped over (the last good
// checkpoint stays), Error when a checkpoint cannot be written.
void run_training(const TrainerParts& parts, const TrainerOptions& options, TrainState& state);

}  // namespace saferclip
