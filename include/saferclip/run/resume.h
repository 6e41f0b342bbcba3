// Whether a run may go on: configuration and content compared with what it was started with.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "saferclip/evaluate/scores_json.h"
#include "saferclip/run/session.h"
#include "saferclip/run/training_data.h"
#include "saferclip/train/checkpoint.h"

namespace saferclip {

// The configuration with every value as it comes out in this session: what is written as auto, left
// to a default, or more than the device can do. Two configurations that mean the same are equal.
RunConfig resolved_config(const Session& session, RunConfig config);

// The values of the session's configuration that come out otherwise than written, by dotted key.
OrderedJson resolved_values(const Session& session);

// Keys of what a training reads: weights, pictures, captions, reference, targets, anchors.
std::map<std::string, std::string> content_keys(const Session& session, const TrainingData& data);

// Compares the run's own configuration with the session's, both resolved. Throws ConfigError with
// every difference; warns where only the machine differs (bf16 on one CPU, fp32 on another).
void require_same_run(const std::filesystem::path& run_folder, const TrainState& saved,
                      const Session& session, Logger& log);
// Throws ConfigError with every content that is not what the run was started with.
void require_same_content(const TrainState& saved, const TrainState& now,
                          const std::filesystem::path& run_folder);

// Best value and patience mean nothing under another validation set or another best_metric
// (TrainState::measure): they start anew, with a warning.
void keep_or_restart_best(TrainState& saved, const TrainState& now, Logger& log);

}  // namespace saferclip
