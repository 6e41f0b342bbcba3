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

// `resume`: empty, auto (the newest good checkpoint, if there is one), or a run or checkpoint
// folder. Throws WeightsError when a named folder has no good checkpoint.
StartPoint find_start(const std::string& resume, const RunConfig& config, Logger& log);

// Throws ConfigError when the run folder has checkpoints already.
void require_fresh(const std::filesystem::path& run_folder, Logger& log);

// Loads weights and moments of the start's checkpoint and returns the state to go on from; without
// a checkpoint that is `now`. `now` tells what the run reads and where it runs. Throws ConfigError
// when the content differs from what the run was started with.
TrainState restore_run(const StartPoint& start, const TrainState& now,
                       const std::vector<TrainedParameter>& parameters, Optimizer& optimizer,
                       Logger& log);

}  // namespace saferclip
