// One training run: from a configuration to the checkpoint of its last step.
#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include "saferclip/core/stop.h"
#include "saferclip/evaluate/validation.h"
#include "saferclip/prepare/prepare.h"
#include "saferclip/run/session.h"
#include "saferclip/run/training_data.h"

namespace saferclip {

struct TrainingRequest {
  RunConfig config;
  ComputeOptions compute;
  std::string resume;      // empty, auto, or a run or checkpoint folder
  bool overwrite = false;  // delete what the run folder holds and start over
};

// Prepares the caches and returns a description of the run; trains nothing. Throws as train_run
// does.
std::string plan_training(TrainingRequest request, Logger& log, const StopFlag& stop);

// Trains and returns the run folder. `before_steps` is called with it once everything is prepared:
// from then on training itself polls `stop`, and ending the process during a save would lose a
// checkpoint. Throws ConfigError, DataError, WeightsError, NumericError, Interrupted.
std::filesystem::path train_run(
    TrainingRequest request, Logger& log, const StopFlag& stop,
    const std::function<void(const std::filesystem::path&)>& before_steps);

// The validator of the session's configuration, which must have data.validation.
Validator make_validator(const Session& session, Preparer& preparer, const TrainingData& data,
                         Logger& log);

}  // namespace saferclip
