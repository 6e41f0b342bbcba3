#include "cli/next_step.h"

#include "saferclip/core/shell_word.h"
#include "saferclip/core/text_format.h"

namespace saferclip {

std::string command_text(const std::vector<std::string>& words, const GlobalOptions& globals) {
  std::vector<std::string> quoted{"saferclip"};
  for (const std::string& word : words) quoted.push_back(shell_word(word));
  if (globals.device != "auto") {
    quoted.insert(quoted.end(), {"--device", shell_word(globals.device)});
  }
  return join(quoted, " ");
}

std::string command_text(const std::string& command, const ConfigArguments& config,
                         const GlobalOptions& globals) {
  std::vector<std::string> words{command, config.file};
  for (const std::string& setting : config.overrides) {
    words.insert(words.end(), {"--set", setting});
  }
  return command_text(words, globals);
}

void say_next(Logger& log, const std::string& step) { log.info("next: " + step); }

}  // namespace saferclip
