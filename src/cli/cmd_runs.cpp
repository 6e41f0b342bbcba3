// `runs`: the runs below a folder, one a line.
#include <algorithm>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>
#include <set>

#include "cli/commands.h"
#include "cli/json_output.h"
#include "cli/next_step.h"
#include "saferclip/core/display.h"
#include "saferclip/core/text_format.h"
#include "saferclip/run/compare_runs.h"
#include "saferclip/run/run_list.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

std::string steps_text(const RunSummary& run) {
  if (run.state == RunState::kEmpty || run.state == RunState::kUnreadable) return "-";
  return with_commas(run.step) +
         (run.planned_steps ? cat(" of ", with_commas(*run.planned_steps)) : "");
}

std::string best_text(const RunSummary& run) {
  if (!run.best_value) return "-";
  return cat(fixed(*run.best_value, 2), " at ", with_commas(run.best_step));
}

std::string padded(const std::string& text, std::size_t columns) {
  const std::string cut = cut_to_columns(text, columns);
  return cut + std::string(columns - std::min(columns, display_columns(cut)), ' ');
}

void print_runs(const std::vector<RunSummary>& runs, const fs::path& folder) {
  const auto name_of = [&](const RunSummary& run) {
    const std::string name = run.path.lexically_relative(folder).string();
    return name == "." ? run.path.string() : name;
  };
  std::size_t width = 3;
  for (const RunSummary& run : runs) width = std::max(width, display_columns(name_of(run)));
  width = std::min<std::size_t>(width, 34);
  std::set<std::string> metrics;
  for (const RunSummary& run : runs) {
    if (run.best_value) metrics.insert(run.best_metric);
  }
  std::cout << padded("run", width) << "  state       step              best              size\n";
  for (const RunSummary& run : runs) {
    std::cout << padded(name_of(run), width) << "  " << padded(to_string(run.state), 12)
              << padded(steps_text(run), 18) << padded(best_text(run), 18) << human_bytes(run.bytes)
              << '\n';
  }
  if (metrics.empty()) return;
  std::cout << "best: " << join({metrics.begin(), metrics.end()}, " or ")
            << " (checkpoint.best_metric), higher is better, at its step\n";
}

// The first run that can go on, or else the first that can be measured.
void say_after_list(const std::vector<RunSummary>& runs, const GlobalOptions& globals,
                    Logger& log) {
  for (const RunSummary& run : runs) {
    if (run.state != RunState::kStopped || !run.planned_steps) continue;
    return say_next(log, command_text({"train", (run.path / "config.yaml").string(), "--resume",
                                       run.path.string()},
                                      globals));
  }
  for (const RunSummary& run : runs) {
    if (run.state != RunState::kFinished) continue;
    const char* next = is_evaluated(run.path, "", log) ? "report" : "evaluate";
    return say_next(log, command_text({next, run.path.string()}, globals));
  }
}

}  // namespace

CommandAction add_runs_command(CLI::App& command) {
  struct Arguments {
    std::string folder = "runs";
    bool json = false;
  };
  auto arguments = std::make_shared<Arguments>();
  path_option(command.add_option("DIR", arguments->folder, "Folder that contains the runs"))
      ->capture_default_str();
  command.add_flag("--json", arguments->json, "Print one JSON document");
  command.footer("Example:\n  saferclip runs demo/runs");
  return [arguments](const GlobalOptions& globals, Logger& log) {
    const std::vector<RunSummary> runs = list_runs(arguments->folder, log);
    for (const RunSummary& run : runs) {
      if (!run.problem.empty()) log.warn(run.problem);
    }
    if (arguments->json) {
      auto list = nlohmann::ordered_json::array();
      for (const RunSummary& run : runs) list.push_back(run_json(run));
      print_json(list);
    } else if (runs.empty()) {
      std::cout << "no runs below " << arguments->folder << '\n';
    } else {
      print_runs(runs, arguments->folder);
      std::cout.flush();
      say_after_list(runs, globals, log);
    }
    return 0;
  };
}

}  // namespace saferclip
