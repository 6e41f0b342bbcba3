// The line that ends a command and says what to do next: "next: saferclip evaluate runs/mine".
#pragma once

#include <string>
#include <vector>

#include "cli/commands.h"

namespace saferclip {

// A command of this program as a shell reads it. Repeats --device if the user gave it.
std::string command_text(const std::vector<std::string>& words, const GlobalOptions& globals);

// The global options that the user gave, for commands that this one starts.
std::vector<std::string> global_words(const GlobalOptions& globals);

// `command` with the configuration and overrides of the command that ended.
std::string command_text(const std::string& command, const ConfigArguments& config,
                         const GlobalOptions& globals);

// Logs the line at level info, so stdout stays what the command prints.
void say_next(Logger& log, const std::string& step);

}  // namespace saferclip
