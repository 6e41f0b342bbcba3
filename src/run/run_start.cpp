// Finds the checkpoint a training starts from and restores it, checking content before it loads a
// tensor. `--resume auto` starts afresh without a good checkpoint. The restored state keeps its
// counters and takes measure, precision, device and threads from this process, so the next
// checkpoint records what really computed it.
#include "saferclip/run/run_start.h"

#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"
#include "saferclip/run/resume.h"
#include "saferclip/run/run_reference.h"

namespace saferclip {
namespace fs = std::filesystem;

StartPoint find_start(const std::string& resume, const RunConfig& config, Logger& log) {
  StartPoint start{fs::absolute(fs::path(config.run.dir) / config.run.name), {}};
  if (resume.empty()) return start;
  if (resume != "auto") {
    const RunReference reference = resolve_run(resume);
    return {reference.run_folder, choose_checkpoint(reference, "latest", log)};
  }
  const CheckpointStore store(start.run_folder, log);
  const auto step = store.newest_good();
  if (step) {
    start.checkpoint = store.folder(*step);
  } else {
    const bool is_there = fs::exists(start.run_folder);
    log.info(cat("--resume auto: ", start.run_folder.string(),
                 is_there ? " contains no good checkpoint" : " is new", "; starting at step 0"));
  }
  return start;
}

void require_fresh(const fs::path& run_folder, Logger& log) {
  if (CheckpointStore(run_folder, log).steps().empty()) return;
  throw ConfigError(
      cat("run folder ", run_folder.string(),
          ": already has checkpoints; continue with --resume auto, start over with --overwrite, or "
          "use another name with --set run.name=…"));
}

TrainState restore_run(const StartPoint& start, const TrainState& now,
                       const std::vector<TrainedParameter>& parameters, Optimizer& optimizer,
                       Logger& log) {
  if (start.checkpoint.empty()) return now;
  TrainState state = read_train_state(start.checkpoint);
  require_same_content(state, now, start.run_folder);
  keep_or_restart_best(state, now, log);
  restore(start.checkpoint, parameters, optimizer);
  const auto machine = [](const TrainState& of) {
    const std::string processes = of.processes > 1 ? cat(of.processes, " processes on ") : "";
    return cat(processes, of.device, " with ", of.threads, " threads");
  };
  if (machine(state) != machine(now)) {
    log.warn(cat("the run used ", machine(state), " and now uses ", machine(now),
                 ": results will not be bit-exact"));
  }
  log.info(cat("resuming from ", start.checkpoint.string(), " (step ", state.step, ")"));
  state.measure = now.measure;
  state.precision = now.precision;
  state.device = now.device;
  state.threads = now.threads;
  state.processes = now.processes;
  return state;
}

}  // namespace saferclip
