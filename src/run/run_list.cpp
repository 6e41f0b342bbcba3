// Reads run folders without changing them: only the lock of a run, if its file is there, is taken
// for a moment, to see whether another process holds it.
#include "saferclip/run/run_list.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "saferclip/config/run_config.h"
#include "saferclip/core/error.h"
#include "saferclip/core/file_lock.h"
#include "saferclip/core/files.h"
#include "saferclip/core/text_format.h"
#include "saferclip/train/best.h"
#include "saferclip/train/checkpoint.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

bool is_run_folder(const fs::path& path) {
  return is_file(path / "config.yaml") &&
         (fs::is_directory(path / "checkpoints") || is_file(path / "environment.json"));
}

// Sweeps group runs in folders.
constexpr int kDeepest = 4;

void find_run_folders(const fs::path& folder, int depth, std::vector<fs::path>& found,
                      Logger& log) {
  if (is_run_folder(folder)) {
    found.push_back(folder);
    return;
  }
  if (depth == kDeepest) return;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    std::error_code ignored;
    const bool is_folder = entry.is_directory(ignored) && !entry.is_symlink(ignored);
    if (is_folder) find_run_folders(entry.path(), depth + 1, found, log);
  }
  if (error) log.warn(cat(folder.string(), ": cannot be listed: ", error.message()));
}

std::uint64_t bytes_below(const fs::path& folder) {
  std::uint64_t bytes = 0;
  std::error_code error;
  constexpr auto kOptions = fs::directory_options::skip_permission_denied;
  for (fs::recursive_directory_iterator at(folder, kOptions, error), end; !error && at != end;
       at.increment(error)) {
    std::error_code gone;
    if (!at->is_regular_file(gone)) continue;
    const std::uint64_t size = at->file_size(gone);
    if (!gone) bytes += size;
  }
  return bytes;
}

bool is_in_use(const fs::path& run) {
  const fs::path lock = run / ".lock";
  if (!is_file(lock)) return false;
  try {
    return FileLock::try_acquire(lock) == nullptr;
  } catch (const Error&) {
    return false;  // read-only: nobody trains in it
  }
}

std::optional<std::int64_t> recorded_steps(const fs::path& run) {
  const fs::path file = run / "environment.json";
  if (!is_file(file)) return std::nullopt;
  const auto json = nlohmann::json::parse(read_file(file), nullptr, false);
  if (!json.is_object() || !json.contains("plan") || !json["plan"].is_object()) return std::nullopt;
  const auto steps = json["plan"].find("steps");
  if (steps == json["plan"].end() || !steps->is_number_integer()) return std::nullopt;
  return steps->get<std::int64_t>();
}

// The state of a run that no process is using.
RunState resting_state(const TrainState& state, const RunConfig& config,
                       const std::optional<std::int64_t>& planned) {
  if (is_out_of_patience(state, config.checkpoint)) return RunState::kFinished;
  const bool is_done = planned && state.step >= *planned && !state.awaits_validation;
  return is_done ? RunState::kFinished : RunState::kStopped;
}

RunSummary summary_of(const fs::path& path, Logger& log) {
  RunSummary run;
  run.path = path;
  run.bytes = bytes_below(path);
  run.planned_steps = recorded_steps(path);
  const bool is_used = is_in_use(path);
  try {
    const RunConfig config = read_run_config(path / "config.yaml", {});
    if (!run.planned_steps) run.planned_steps = config.train.max_steps;
    run.best_metric = config.checkpoint.best_metric;
    const CheckpointStore store(path, log);
    auto newest = store.pointer("latest");
    if (!newest && !store.steps().empty()) newest = store.steps().back();
    if (newest) {
      const TrainState state = read_train_state(store.folder(*newest));
      run.step = state.step;
      run.best_value = state.best_value;
      run.best_step = state.best_step;
      run.state = resting_state(state, config, run.planned_steps);
    }
  } catch (const Error& problem) {
    run.state = RunState::kUnreadable;
    run.problem = problem.what();
  }
  if (is_used) run.state = RunState::kRunning;
  return run;
}

}  // namespace

std::vector<RunSummary> list_runs(const fs::path& folder, Logger& log) {
  std::error_code error;
  if (!fs::is_directory(folder, error)) {
    throw DataError(cat(folder.string(),
                        ": no such folder; name the folder that contains your "
                        "runs (run.dir)"));
  }
  std::vector<fs::path> paths;
  find_run_folders(folder, 0, paths, log);
  std::sort(paths.begin(), paths.end());
  std::vector<RunSummary> runs;
  for (const fs::path& path : paths) runs.push_back(summary_of(path, log));
  return runs;
}

}  // namespace saferclip
