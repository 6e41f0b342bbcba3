// The runs below a folder: how far each is.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "saferclip/core/enum_words.h"
#include "saferclip/core/log.h"

namespace saferclip {

// kEmpty: it has no checkpoint. kUnreadable: its configuration or newest checkpoint cannot be read.
enum class RunState { kRunning, kFinished, kStopped, kEmpty, kUnreadable };
constexpr auto enum_words(RunState) {
  return std::to_array<EnumWord<RunState>>({{RunState::kRunning, "running"},
                                            {RunState::kFinished, "finished"},
                                            {RunState::kStopped, "stopped"},
                                            {RunState::kEmpty, "empty"},
                                            {RunState::kUnreadable, "unreadable"}});
}

struct RunSummary {
  std::filesystem::path path;
  RunState state = RunState::kEmpty;
  std::string problem;                        // of an unreadable run
  std::int64_t step = 0;                      // of the newest checkpoint
  std::optional<std::int64_t> planned_steps;  // none: not recorded
  std::optional<double> best_value;           // of `best_metric`, at `best_step`
  std::string best_metric;
  std::int64_t best_step = 0;
  std::uint64_t bytes = 0;  // of all files
};

// `folder` itself if it is a run, else the runs below it, by path; a run is a folder with
// config.yaml and checkpoints or environment.json. Folders that cannot be listed are warned of.
// Throws DataError if there is no such folder.
std::vector<RunSummary> list_runs(const std::filesystem::path& folder, Logger& log);

}  // namespace saferclip
