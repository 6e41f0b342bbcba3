// `train`: starts, resumes or plans (--dry-run) a run. While it prepares, a stop request has kGrace
// seconds to take effect before the process is ended; once the steps start it is waited for,
// because a checkpoint may be half written. --max-time is counted from the start of the command.
#include <chrono>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "cli/commands.h"
#include "cli/json_output.h"
#include "cli/next_step.h"
#include "cli/signals.h"
#include "saferclip/core/durations.h"
#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"
#include "saferclip/run/run_list.h"
#include "saferclip/run/run_processes.h"
#include "saferclip/run/training.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

struct TrainArguments {
  ConfigArguments config;
  std::string resume;
  bool overwrite = false;
  bool dry_run = false;
  bool json = false;
  std::string max_time;
};

// When --max-time, counted from now, asks the run to end.
std::optional<SteadyTime> time_limit(const std::string& max_time) {
  if (max_time.empty()) return std::nullopt;
  const auto seconds = parse_duration(max_time);
  if (!seconds || *seconds == 0) {
    throw ConfigError(cat("--max-time ", max_time,
                          ": expected a time such as 55m, 1h30m, 90s, 55:00 (minutes:seconds), "
                          "1:30:00 or 1-02:00:00 (days-hours:minutes:seconds)"));
  }
  return std::chrono::steady_clock::now() + std::chrono::seconds(*seconds);
}

// The command without --dry-run.
std::string planned_command(const TrainArguments& arguments, const GlobalOptions& globals) {
  std::vector<std::string> words{"train", arguments.config.file};
  for (const std::string& setting : arguments.config.overrides) {
    words.insert(words.end(), {"--set", setting});
  }
  if (!arguments.resume.empty()) words.insert(words.end(), {"--resume", arguments.resume});
  if (arguments.overwrite) words.emplace_back("--overwrite");
  if (!arguments.max_time.empty()) words.insert(words.end(), {"--max-time", arguments.max_time});
  return command_text(words, globals);
}

// What became of a run, and why it ended: `failure` is null if it finished.
void print_run_json(const fs::path& run, const Error* failure, Logger& log) {
  const std::vector<RunSummary> found = list_runs(run, log);
  RunSummary summary;
  summary.path = run;
  nlohmann::ordered_json document = run_json(found.empty() ? summary : found.front());
  document["exit"] = exit_json(failure);
  print_json(document);
}

int train(const TrainArguments& arguments, const GlobalOptions& globals, Logger& log) {
  const std::optional<SteadyTime> limit = time_limit(arguments.max_time);
  const StopFlag& stop = ask_before_ending(kGrace, limit);
  TrainingRequest request{read_run_config(arguments.config.file, arguments.config.overrides),
                          join_processes(globals, log, stop), arguments.resume,
                          arguments.overwrite};
  const Processes processes = request.compute.processes;
  if (arguments.dry_run) {
    end_together(processes, log, {}, [&] {
      if (!processes.is_first()) return;
      std::cout << plan_training(std::move(request), log, stop) << '\n';
    });
    if (processes.is_first()) say_next(log, planned_command(arguments, globals));
    return 0;
  }
  fs::path run;
  try {
    run = train_run(std::move(request), log, stop, [&](const fs::path& folder) {
      run = folder;
      ask_before_ending({}, limit);  // a save must not be cut
    });
  } catch (const Error& failure) {
    const bool has_run = processes.is_first() && !run.empty();
    if (arguments.json && has_run) print_run_json(run, &failure, log);
    throw;
  }
  if (!processes.is_first()) return 0;
  if (arguments.json) {
    print_run_json(run, nullptr, log);
    return 0;
  }
  std::cout << "run: " << run.string() << '\n' << std::flush;
  say_next(log, command_text({"evaluate", run.string()}, globals));
  return 0;
}

}  // namespace

CommandAction add_train_command(CLI::App& command) {
  auto arguments = std::make_shared<TrainArguments>();
  add_config_arguments(command, arguments->config, "CONFIG", "Configuration (YAML or JSON)");
  path_option(command.add_option(
      "--resume", arguments->resume,
      "auto: resume from the newest valid checkpoint, or start; or a run or checkpoint folder"));
  command.add_flag("--overwrite", arguments->overwrite,
                   "Delete the contents of the run folder and start over");
  command.add_option("--max-time", arguments->max_time,
                     "Time limit, for batch queues: after this long, save and exit with 75, e.g. "
                     "55m, 1h30m, 1-02:00:00");
  CLI::Option* plan = command.add_flag("--dry-run", arguments->dry_run,
                                       "Prepare and print what would be trained, without training");
  command
      .add_flag("--json", arguments->json,
                "Print one JSON document at the end, also of a run that was stopped or failed")
      ->excludes(plan);
  command.footer(
      "Examples:\n"
      "  saferclip train configs/saferclip-vit-b32.yaml\n"
      "  saferclip train my.yaml --set optimizer.lr=5e-5 --set run.name=slower\n"
      "  saferclip train my.yaml --resume auto        after a kill, a crash, a full disk\n"
      "  saferclip train my.yaml --resume auto --max-time 55m\n"
      "Ctrl-C and SIGTERM save a checkpoint and exit with 128 + signal; --max-time exits with 75.\n"
      "Either way, --resume auto continues the run. docs/long_runs.md has a script for Slurm.");
  return [arguments](const GlobalOptions& globals, Logger& log) {
    return train(*arguments, globals, log);
  };
}

}  // namespace saferclip
