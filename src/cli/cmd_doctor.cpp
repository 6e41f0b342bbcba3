// `doctor`: prints the findings of check_machine, one per line or as JSON. A failed finding makes
// the exit code 1; warnings leave it 0, since a slow machine can still do the work. --threads is
// applied first, because the timed products depend on it.
#include <ATen/Parallel.h>

#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "saferclip/core/error.h"
#include "saferclip/core/shell_word.h"
#include "saferclip/core/text_format.h"
#include "saferclip/run/machine_check.h"

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

}  // namespace

CommandAction add_doctor_command(CLI::App& command) {
  auto json = std::make_shared<bool>(false);
  auto files = std::make_shared<std::vector<std::string>>();
  path_option(command.add_option("WEIGHTS", *files,
                                 "Weights files to check against those OpenAI published"));
  command.add_flag("--json", *json, "Print one JSON document");
  command.footer("Example:\n  saferclip doctor --device cuda\n  saferclip doctor ViT-B-32.pt");
  return [json, files](const GlobalOptions& globals, Logger&) {
    require_no_folders(*files);
    if (globals.threads > 0) at::set_num_threads(globals.threads);
    const std::vector<MachineFinding> findings = check_machine(globals, *files);
    bool has_failed = false;
    nlohmann::ordered_json document = nlohmann::ordered_json::array();
    for (const MachineFinding& f : findings) {
      has_failed = has_failed || f.state == "fail";
      document.push_back({{"name", f.name}, {"state", f.state}, {"text", f.text}});
      if (!*json)
        std::cout << (f.state + "    ").substr(0, 5)
                  << (f.name + std::string(16, ' ')).substr(0, 16) << f.text << '\n';
    }
    if (*json) std::cout << document.dump(2) << '\n';
    return has_failed ? 1 : 0;
  };
}

}  // namespace saferclip
