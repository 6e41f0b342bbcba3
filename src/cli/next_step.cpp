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

std::vector<std::string> global_words(const GlobalOptions& globals) {
  std::vector<std::string> words;
  if (globals.device != "auto") words.insert(words.end(), {"--device", globals.device});
  if (globals.threads != 0) words.insert(words.end(), {"--threads", cat(globals.threads)});
  if (globals.log_level != "info") words.insert(words.end(), {"--log-level", globals.log_level});
  return words;
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
