// Whether a run may resume: compares configuration and content with those it was started with.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "saferclip/evaluate/scores_json.h"
#include "saferclip/run/session.h"
#include "saferclip/run/training_data.h"
#include "saferclip/train/checkpoint.h"

namespace saferclip {

// The configuration with every value as it takes effect in this session: `auto`, derived defaults
// and what the device cannot do are resolved. Configurations that mean the same compare equal.
RunConfig resolved_config(const Session& session, RunConfig config);

// The values of the session's configuration that take effect differently than written, by dotted
// key.
OrderedJson resolved_values(const Session& session);

// Content keys of a training's inputs: weights, pictures, captions, reference, targets, anchors.
std::map<std::string, std::string> content_keys(const Session& session, const TrainingData& data);

// Compares the run's own configuration with the session's, both resolved. Throws ConfigError with
// every difference; only warns if the machine alone differs (bf16 on one CPU, fp32 on another).
void require_same_run(const std::filesystem::path& run_folder, const TrainState& saved,
                      const Session& session, Logger& log);
// Throws ConfigError with every input whose content differs from what the run was started with.
void require_same_content(const TrainState& saved, const TrainState& now,
                          const std::filesystem::path& run_folder);

// Resets best value and patience, with a warning, if the validation set or best_metric changed
// (TrainState::measure), because they mean nothing under another measure.
void keep_or_restart_best(TrainState& saved, const TrainState& now, Logger& log);

}  // namespace saferclip
