// Where a training starts: afresh, or from one of a run's checkpoints.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "saferclip/config/run_config.h"
#include "saferclip/core/log.h"
#include "saferclip/model/trained.h"
#include "saferclip/train/checkpoint.h"

namespace saferclip {

struct StartPoint {
  std::filesystem::path run_folder;
  std::filesystem::path checkpoint;  // empty: from the start
};

// `resume`: empty, auto (the newest intact checkpoint, if any), or a run or checkpoint folder.
// Throws WeightsError if a named folder has no intact checkpoint.
StartPoint find_start(const std::string& resume, const RunConfig& config, Logger& log);

// Throws ConfigError if the run folder already has checkpoints.
void require_fresh(const std::filesystem::path& run_folder, Logger& log);

// Loads weights and moments of the start's checkpoint and returns the state to resume from; without
// a checkpoint that is `now`, which holds the content keys and the device of this process. Throws
// ConfigError if the content differs from what the run was started with.
TrainState restore_run(const StartPoint& start, const TrainState& now,
                       const std::vector<TrainedParameter>& parameters, Optimizer& optimizer,
                       Logger& log);

}  // namespace saferclip
