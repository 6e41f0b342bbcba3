// `clean`: lists checkpoints and caches that can go, asks, and removes them.
#include <unistd.h>

#include <iostream>
#include <utility>
#include <vector>

#include "cli/commands.h"
#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"
#include "saferclip/run/cleanup.h"

namespace saferclip {
namespace {

struct CleanArguments {
  std::string runs;
  std::string caches;
  bool is_agreed = false;
};

using RunLeftovers = std::vector<std::pair<std::string, Leftovers>>;

// Of all runs below the folder; prints what there is.
RunLeftovers list_checkpoints(const std::string& folder, Logger& log) {
  RunLeftovers found;
  for (const RunSummary& run : list_runs(folder, log)) {
    if (run.state == RunState::kRunning) {
      std::cout << run.path.string() << ": is in use and stays as it is\n";
    }
    if (!run.problem.empty()) log.warn(run.problem);
    Leftovers old = old_checkpoints(run, log);
    if (old.folders.empty()) continue;
    std::cout << run.path.string() << ": old checkpoints: " << old.folders.size() << ", "
              << human_bytes(old.bytes) << '\n';
    found.emplace_back(run.path.string(), std::move(old));
  }
  return found;
}

void require_consent(bool is_agreed) {
  if (is_agreed) return;
  if (::isatty(STDIN_FILENO) == 0) {
    throw ConfigError("clean: nothing was removed: there is no terminal to ask on; add --yes");
  }
  std::cout << "remove them? [y/N] " << std::flush;
  std::string answer;
  std::getline(std::cin, answer);
  if (trimmed(answer) != "y" && trimmed(answer) != "yes") {
    throw ConfigError("clean: nothing was removed");
  }
}

int clean(const CleanArguments& arguments, Logger& log) {
  if (arguments.runs.empty() && arguments.caches.empty()) {
    throw ConfigError("clean: name a folder of runs, --caches DIR, or both");
  }
  RunLeftovers runs;
  if (!arguments.runs.empty()) runs = list_checkpoints(arguments.runs, log);
  Leftovers artifacts;
  if (!arguments.caches.empty()) {
    artifacts = cached_artifacts(arguments.caches);
    std::cout << arguments.caches << ": caches: " << artifacts.folders.size() << ", "
              << human_bytes(artifacts.bytes) << "; built again when they are needed\n";
  }
  if (runs.empty() && artifacts.folders.empty()) {
    std::cout << "there is nothing to remove\n";
    return 0;
  }
  require_consent(arguments.is_agreed);
  std::uint64_t freed = 0;
  for (const auto& [run, leftovers] : runs) {
    remove_checkpoints(run, leftovers, log);
    freed += leftovers.bytes;
  }
  freed += remove_artifacts(artifacts, log);
  std::cout << "removed " << human_bytes(freed) << '\n';
  return 0;
}

}  // namespace

CommandAction add_clean_command(CLI::App& command) {
  auto arguments = std::make_shared<CleanArguments>();
  path_option(command.add_option("RUNS", arguments->runs,
                                 "A run, or a folder of runs: removes all checkpoints but the "
                                 "newest and the best of each"));
  path_option(command.add_option("--caches", arguments->caches,
                                 "A cache folder (data.cache_dir): removes all that is in it"));
  command.add_flag("--yes", arguments->is_agreed, "Do not ask");
  command.footer(
      "Removes nothing else: configurations, logs, evaluations and exports stay.\n"
      "Example:\n  saferclip clean demo/runs --caches demo/cache");
  return [arguments](const GlobalOptions&, Logger& log) { return clean(*arguments, log); };
}

}  // namespace saferclip
