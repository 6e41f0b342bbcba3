// `sweep`: trains a configuration once for each combination of values, or prints the commands.
// While a run trains, a stop request is left to it, because it saves a checkpoint first.
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/json_output.h"
#include "cli/next_step.h"
#include "cli/signals.h"
#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"
#include "saferclip/distributed/launch.h"
#include "saferclip/report/comparison.h"
#include "saferclip/run/compare_runs.h"
#include "saferclip/run/sweep.h"

namespace saferclip {
namespace {

struct SweepArguments {
  ConfigArguments config;
  SweepRequest request;
  bool print = false;
  bool json = false;
};

std::vector<std::string> folders_of(const std::vector<SweptRun>& runs) {
  std::vector<std::string> folders;
  for (const SweptRun& run : runs) folders.push_back(run.folder.string());
  return folders;
}

std::string compare_command(const std::vector<std::string>& folders, const std::string& split) {
  std::vector<std::string> words{"compare"};
  words.insert(words.end(), folders.begin(), folders.end());
  if (!split.empty()) words.insert(words.end(), {"--split", split});
  return command_text(words, {});
}

int print_commands(const SweepRequest& request, const std::vector<SweptRun>& runs, Logger& log) {
  for (const SweptRun& run : runs) {
    std::vector<std::string> commands;
    for (const auto& words : sweep_commands(request, run)) {
      commands.push_back(command_text(words, {}));
    }
    std::cout << join(commands, " && ") << '\n';
  }
  std::cout << std::flush;
  if (!request.split.empty()) say_next(log, compare_command(folders_of(runs), request.split));
  return 0;
}

// The comparison of the runs that are evaluated. A sweep that is done stays done where there is
// nothing to compare.
void compare_swept(const SweepRequest& request, const std::vector<SweptRun>& runs,
                   const GlobalOptions& globals, Logger& log) {
  std::vector<std::string> evaluated;
  for (const SweptRun& run : runs) {
    if (is_evaluated(run.folder, request.split, log)) evaluated.push_back(run.folder.string());
  }
  if (evaluated.size() < runs.size()) {
    log.info(cat(evaluated.size(), " of ", runs.size(), " runs are evaluated"));
  }
  if (evaluated.empty()) {
    say_next(log, command_text({"evaluate", runs.front().folder.string()}, globals));
    return;
  }
  try {
    std::cout << comparison_table(compare_figures(
                     read_compared_runs({.runs = evaluated, .split = request.split}, log),
                     Seeds::kGrouped, {}, nullptr))
              << std::flush;
  } catch (const Error& problem) {
    log.warn(cat("no comparison: ", problem.what()));
  }
  say_next(log, compare_command(evaluated, request.split));
}

void throw_failed(const std::vector<SweepFailure>& failures, std::size_t runs) {
  if (failures.empty()) return;
  std::vector<std::string> lines;
  for (const SweepFailure& failure : failures) {
    lines.push_back(cat(failure.name, ": exit code ", failure.exit_code));
  }
  throw Error(join_problems(cat(failures.size(), " of ", runs,
                                " runs failed; their messages stand above, the same command tries "
                                "them again:"),
                            shortened(lines, 20)),
              failures.front().exit_code);
}

// State and best value are those of the folder now, also of a run that another sweep finished.
nlohmann::ordered_json swept_json(const SweepRequest& request, const std::vector<SweptRun>& runs,
                                  const std::vector<SweepFailure>& failures, Logger& log) {
  std::map<std::string, int> codes;
  for (const SweepFailure& failure : failures) codes[failure.name] = failure.exit_code;
  auto list = nlohmann::ordered_json::array();
  for (const SweptRun& run : runs) {
    std::error_code error;
    const bool has_folder = std::filesystem::is_directory(run.folder, error);
    const std::vector<RunSummary> found =
        has_folder ? list_runs(run.folder, log) : std::vector<RunSummary>{};
    nlohmann::ordered_json json{{"name", run.name}, {"path", run.folder.string()}};
    if (!found.empty()) json.update(run_json(found.front()));
    json["path"] = run.folder.string();
    json["evaluated"] = has_folder && is_evaluated(run.folder, request.split, log);
    json["exit_code"] = codes.contains(run.name) ? codes[run.name] : 0;
    list.push_back(std::move(json));
  }
  return list;
}

nlohmann::ordered_json commands_json(const SweepRequest& request,
                                     const std::vector<SweptRun>& runs) {
  auto list = nlohmann::ordered_json::array();
  for (const SweptRun& run : runs) {
    auto commands = nlohmann::ordered_json::array();
    for (const auto& words : sweep_commands(request, run))
      commands.push_back(command_text(words, {}));
    list.push_back({{"name", run.name}, {"path", run.folder.string()}, {"commands", commands}});
  }
  return list;
}

void sweep_for_document(SweepRequest request, bool prints, Logger& log,
                        nlohmann::ordered_json& document) {
  request.keeps_stdout = true;
  document["split"] = nullptr;
  if (!request.split.empty()) document["split"] = request.split;
  const std::vector<SweptRun> runs = plan_sweep(request);
  if (prints) {
    document["runs"] = commands_json(request, runs);
    return;
  }
  std::vector<SweepFailure> failures;
  try {
    failures = run_sweep(request, runs, log, ask_before_ending({}));
  } catch (const Error&) {
    document["runs"] = swept_json(request, runs, failures, log);
    throw;
  }
  document["runs"] = swept_json(request, runs, failures, log);
  throw_failed(failures, runs.size());
}

int sweep(const SweepArguments& arguments, const GlobalOptions& globals, Logger& log) {
  SweepRequest request = arguments.request;
  request.file = arguments.config.file;
  request.settings = arguments.config.overrides;
  request.arguments = global_words(globals);
  const auto launch = launch_from_environment();
  if (launch && launch->size > 1 && !arguments.print) {
    throw ConfigError(
        "sweep: its runs are processes of their own, so it cannot be started in several; print the "
        "commands with --print and start each under torchrun or srun");
  }
  if (arguments.json) {
    print_document_of([&](nlohmann::ordered_json& document) {
      sweep_for_document(request, arguments.print, log, document);
    });
    return 0;
  }
  const std::vector<SweptRun> runs = plan_sweep(request);
  if (arguments.print) return print_commands(request, runs, log);
  const StopFlag& stop = ask_before_ending({});
  const std::vector<SweepFailure> failures = run_sweep(request, runs, log, stop);
  compare_swept(request, runs, globals, log);
  throw_failed(failures, runs.size());
  return 0;
}

}  // namespace

CommandAction add_sweep_command(CLI::App& command) {
  auto arguments = std::make_shared<SweepArguments>();
  path_option(command.add_option("CONFIG", arguments->config.file, "Configuration (YAML or JSON)"))
      ->required();
  command
      .add_option("--set", arguments->config.overrides,
                  "Values of a key, separated by commas: --set optimizer.lr=1e-4,3e-4; repeatable")
      ->type_name("KEY=VALUES")
      ->allow_extra_args(false);
  command
      .add_option("--seeds", arguments->request.seeds,
                  "Values of train.seed, one run each: 1,2,3 (not their number)")
      ->delimiter(',')
      ->check(CLI::NonNegativeNumber)
      ->allow_extra_args(false);
  command.add_option("--evaluate", arguments->request.split,
                     "Evaluate each run on this split: validation, train or a name in "
                     "data.evaluation");
  command.add_flag("--print", arguments->print,
                   "Print one line of commands for each run, for a batch queue, and run nothing");
  command.add_flag("--json", arguments->json,
                   "Print one JSON document at the end, also on failure: each run's state and best "
                   "value; with --print its commands");
  command.footer(
      "Examples:\n"
      "  saferclip sweep my.yaml --set optimizer.lr=1e-4,3e-4 --seeds 1,2,3 --evaluate validation\n"
      "  saferclip sweep my.yaml --set adapter.rank=4,16 --print > commands.txt\n"
      "  saferclip sweep my.yaml --set \"adapter.targets=[q_proj,v_proj],[fc1,fc2]\"\n"
      "Every combination is a run, in a folder named after run.name and the values that vary.\n"
      "They run one after another; the same command again skips finished runs, resumes others\n"
      "and retries failed ones. Commas in quotes or brackets belong to the value: \"'a,b',c\".");
  return [arguments](const GlobalOptions& globals, Logger& log) {
    return sweep(*arguments, globals, log);
  };
}

}  // namespace saferclip
