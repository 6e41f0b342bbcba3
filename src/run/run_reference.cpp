// Resolves the path and the checkpoint word of a command. A folder with state.json is a checkpoint,
// one with config.yaml a run. `latest` skips damaged checkpoints; `best` and a step name one
// checkpoint, so damage to it is an error, never a silent substitute.
#include "saferclip/run/run_reference.h"

#include <vector>

#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"
#include "saferclip/train/checkpoint.h"

namespace saferclip {
namespace fs = std::filesystem;

bool is_run_path(const fs::path& path) {
  std::error_code error;
  return fs::is_regular_file(path / "state.json", error) ||
         fs::is_regular_file(path / "config.yaml", error);
}

RunReference resolve_run(const fs::path& path) {
  const fs::path absolute = fs::absolute(path).lexically_normal();
  const fs::path clean = absolute.has_filename() ? absolute : absolute.parent_path();
  if (fs::is_regular_file(clean / "state.json")) {
    return {clean.parent_path().parent_path(), clean};
  }
  if (fs::is_regular_file(clean / "config.yaml")) return {clean, {}};
  throw WeightsError(
      cat(path.string(), ": neither a run folder (config.yaml) nor a checkpoint (state.json)"));
}

namespace {

std::string no_best_checkpoint(const fs::path& run_folder) {
  const fs::path file = run_folder / "checkpoints" / "best";
  std::error_code error;
  if (!fs::exists(file, error)) {
    return cat(file.string(), ": no such file; the first validation of a run writes it");
  }
  return cat(file.string(),
             ": is damaged, expected a folder name such as step_00000010; `saferclip train CONFIG "
             "--resume auto` "
             "rewrites it, or give --checkpoint a step number");
}

}  // namespace

fs::path choose_checkpoint(const RunReference& run, const std::string& word, Logger& log) {
  const CheckpointStore store(run.run_folder, log);
  fs::path folder = run.checkpoint;
  if (folder.empty() && word == "latest") {
    const auto step = store.newest_good();
    if (!step) throw WeightsError(cat(run.run_folder.string(), ": contains no good checkpoint"));
    return store.folder(*step);
  }
  if (folder.empty() && word == "best") {
    const auto step = store.pointer("best");
    if (!step) throw WeightsError(no_best_checkpoint(run.run_folder));
    folder = store.folder(*step);
  } else if (folder.empty()) {
    if (word.empty() || word.find_first_not_of("0123456789") != std::string::npos ||
        word.size() > 12) {
      throw ConfigError(cat("--checkpoint ", word, ": expected latest, best or a step number"));
    }
    folder = store.folder(std::stoll(word));
  }
  const std::string problem = checkpoint_problem(folder);
  if (!problem.empty()) {
    std::vector<std::string> there;
    for (const std::int64_t step : store.steps()) there.push_back(std::to_string(step));
    throw WeightsError(cat(folder.string(), ": ", problem,
                           "; available steps: ", join(shortened(there, 12), ", ")));
  }
  return folder;
}

}  // namespace saferclip
