// `clean`: lists checkpoints and caches that can go, asks, and removes them.
#include <unistd.h>

#include <iostream>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "cli/commands.h"
#include "cli/json_output.h"
#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"
#include "saferclip/run/cleanup.h"

namespace saferclip {
namespace {

struct CleanArguments {
  std::string runs;
  std::string caches;
  bool is_agreed = false;
  bool json = false;
};

struct Removable {
  std::vector<std::string> in_use;                        // runs
  std::vector<std::pair<std::string, Leftovers>> by_run;  // of those that have old checkpoints
  Leftovers artifacts;

  bool empty() const { return by_run.empty() && artifacts.folders.empty(); }
};

Removable find_removable(const CleanArguments& arguments, Logger& log) {
  if (arguments.runs.empty() && arguments.caches.empty()) {
    throw ConfigError("clean: name a folder of runs, --caches DIR, or both");
  }
  Removable found;
  if (!arguments.runs.empty()) {
    for (const RunSummary& run : list_runs(arguments.runs, log)) {
      if (run.state == RunState::kRunning) found.in_use.push_back(run.path.string());
      if (!run.problem.empty()) log.warn(run.problem);
      Leftovers old = old_checkpoints(run, log);
      if (!old.folders.empty()) found.by_run.emplace_back(run.path.string(), std::move(old));
    }
  }
  if (!arguments.caches.empty()) found.artifacts = cached_artifacts(arguments.caches);
  return found;
}

void print_removable(const Removable& found, const std::string& caches) {
  for (const std::string& run : found.in_use)
    std::cout << run << ": is in use and stays as it is\n";
  for (const auto& [run, old] : found.by_run) {
    std::cout << run << ": old checkpoints: " << old.folders.size() << ", "
              << human_bytes(old.bytes) << '\n';
  }
  if (caches.empty()) return;
  std::cout << caches << ": caches: " << found.artifacts.folders.size() << ", "
            << human_bytes(found.artifacts.bytes) << "; built again when they are needed\n";
}

nlohmann::ordered_json leftovers_json(const std::string& path, const Leftovers& leftovers) {
  auto folders = nlohmann::ordered_json::array();
  for (const auto& folder : leftovers.folders) folders.push_back(folder.string());
  return {{"path", path}, {"bytes", leftovers.bytes}, {"folders", std::move(folders)}};
}

nlohmann::ordered_json removable_json(const Removable& found, const std::string& caches) {
  auto runs = nlohmann::ordered_json::array();
  for (const auto& [run, old] : found.by_run) runs.push_back(leftovers_json(run, old));
  return {{"runs", std::move(runs)},
          {"in_use", found.in_use},
          {"caches", caches.empty() ? nlohmann::ordered_json(nullptr)
                                    : leftovers_json(caches, found.artifacts)},
          {"removed_bytes", 0}};
}

// Returns the bytes freed.
std::uint64_t remove_all(const Removable& found, Logger& log) {
  std::uint64_t freed = 0;
  for (const auto& [run, leftovers] : found.by_run) {
    remove_checkpoints(run, leftovers, log);
    freed += leftovers.bytes;
  }
  return freed + remove_artifacts(found.artifacts, log);
}

void require_consent(const CleanArguments& arguments) {
  if (arguments.is_agreed) return;
  if (arguments.json) {
    throw ConfigError("clean: nothing was removed: --json does not ask; add --yes");
  }
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
  if (arguments.json) {
    print_document_of([&](nlohmann::ordered_json& document) {
      const Removable found = find_removable(arguments, log);
      document = removable_json(found, arguments.caches);
      if (found.empty()) return;
      require_consent(arguments);
      document["removed_bytes"] = remove_all(found, log);
    });
    return 0;
  }
  const Removable found = find_removable(arguments, log);
  print_removable(found, arguments.caches);
  if (found.empty()) {
    std::cout << "there is nothing to remove\n";
    return 0;
  }
  require_consent(arguments);
  std::cout << "removed " << human_bytes(remove_all(found, log)) << '\n';
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
  command.add_flag("--json", arguments->json,
                   "Print one JSON document, also on failure: what can go and what went; without "
                   "--yes nothing is removed");
  command.footer(
      "Removes nothing else: configurations, logs, evaluations and exports stay.\n"
      "Example:\n  saferclip clean demo/runs --caches demo/cache");
  return [arguments](const GlobalOptions&, Logger& log) { return clean(*arguments, log); };
}

}  // namespace saferclip
