// Resolves which run and which of its checkpoints a command means.
#pragma once

#include <filesystem>
#include <string>

#include "saferclip/core/log.h"

namespace saferclip {

// A run folder or one of its checkpoints.
struct RunReference {
  std::filesystem::path run_folder;
  std::filesystem::path checkpoint;  // empty: the path names the run alone
};

// Whether `path` is a run folder or a step folder.
bool is_run_path(const std::filesystem::path& path);

// Throws WeightsError if `path` is neither.
RunReference resolve_run(const std::filesystem::path& path);

// `word`: latest, best or a step. Throws WeightsError if there is no such intact checkpoint,
// ConfigError for any other word.
std::filesystem::path choose_checkpoint(const RunReference& run, const std::string& word,
                                        Logger& log);

}  // namespace saferclip
