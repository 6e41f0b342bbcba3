// `doctor`: prints the findings of check_machine, one per line or as JSON, and at the end what the
// machine could train, as a table. A failed finding makes the exit code 1; warnings leave it 0,
// since a slow machine can still do the work. --threads is applied first, because the timed
// products depend on it.
#include <ATen/Parallel.h>

#include <filesystem>
#include <iomanip>
#include <iostream>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "saferclip/core/error.h"
#include "saferclip/core/shell_word.h"
#include "saferclip/core/text_format.h"
#include "saferclip/run/machine_outlook.h"

namespace saferclip {
namespace {

// Published checksums are those of files.
void require_no_folders(const std::vector<std::string>& paths) {
  for (const std::string& path : paths) {
    std::error_code error;
    if (!std::filesystem::is_directory(path, error)) continue;
    throw ConfigError(cat("doctor: ", path,
                          " is a folder, expected weights files; `saferclip inspect ",
                          shell_word(path), "` says what a folder is"));
  }
}

// An estimate, with no more decimals than it deserves.
std::string rough(double seconds) { return fixed(seconds, seconds < 1 ? 2 : seconds < 10 ? 1 : 0); }

void print_trainings(const std::vector<TrainingOutlook>& trainings) {
  if (trainings.empty()) return;
  std::cout << "\nmodel     trains       micro-batch that fits  seconds for a step of "
            << kOutlookRows << " rows (estimated)\n";
  for (const TrainingOutlook& each : trainings) {
    std::cout << std::left << std::setw(10) << each.model << std::setw(13) << each.method
              << std::right << std::setw(22)
              << (each.micro_batch > 0 ? std::to_string(each.micro_batch) : "no") << std::setw(41)
              << (each.seconds ? rough(*each.seconds) : "-") << '\n';
  }
}

nlohmann::ordered_json trainings_json(const std::vector<TrainingOutlook>& trainings) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const TrainingOutlook& each : trainings) {
    list.push_back({{"model", each.model},
                    {"trains", each.method},
                    {"micro_batch", nullptr},
                    {"estimated_seconds_per_step", nullptr}});
    if (each.micro_batch > 0) list.back()["micro_batch"] = each.micro_batch;
    if (each.seconds) list.back()["estimated_seconds_per_step"] = *each.seconds;
  }
  return list;
}

int examine(const std::vector<std::string>& files, bool is_json, const GlobalOptions& globals) {
  require_no_folders(files);
  if (globals.threads > 0) at::set_num_threads(globals.threads);
  std::vector<MachineFinding> findings = check_machine(globals, files);
  const MachineOutlook outlook = machine_outlook(globals);
  findings.push_back(outlook.finding);
  bool has_failed = false;
  nlohmann::ordered_json document = nlohmann::ordered_json::array();
  for (const MachineFinding& f : findings) {
    has_failed = has_failed || f.state == "fail";
    document.push_back({{"name", f.name}, {"state", f.state}, {"text", f.text}});
    if (!is_json)
      std::cout << (f.state + "    ").substr(0, 5) << (f.name + std::string(16, ' ')).substr(0, 16)
                << f.text << '\n';
  }
  document.back()["rows_per_step"] = kOutlookRows;
  document.back()["trainings"] = trainings_json(outlook.trainings);
  if (is_json) {
    std::cout << document.dump(2) << '\n';
  } else {
    print_trainings(outlook.trainings);
  }
  return has_failed ? 1 : 0;
}

}  // namespace

CommandAction add_doctor_command(CLI::App& command) {
  auto json = std::make_shared<bool>(false);
  auto files = std::make_shared<std::vector<std::string>>();
  path_option(command.add_option("WEIGHTS", *files,
                                 "Weights files to check against those OpenAI published"));
  command.add_flag("--json", *json, "Print one JSON document");
  command.footer("Example:\n  saferclip doctor --device cuda\n  saferclip doctor ViT-B-32.pt");
  return [json, files](const GlobalOptions& globals, Logger&) {
    return examine(*files, *json, globals);
  };
}

}  // namespace saferclip
