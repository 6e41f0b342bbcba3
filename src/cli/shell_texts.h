// Completion scripts and man pages, made from the declared commands: nothing in them can be
// forgotten or outdated.
#pragma once

#include <CLI/App.hpp>
#include <string>
#include <vector>

#include "saferclip/core/enum_words.h"

namespace saferclip {

enum class Shell { kBash, kZsh, kFish };
constexpr auto enum_words(Shell) {
  return std::to_array<EnumWord<Shell>>(
      {{Shell::kBash, "bash"}, {Shell::kZsh, "zsh"}, {Shell::kFish, "fish"}});
}

// A script for the shell to read. `app`: the program.
std::string completion_script(const CLI::App& app, Shell shell);

struct ManPage {
  std::string file;  // saferclip-train.1
  std::string text;  // troff, man macros
};
// One page for the program and one for each command.
std::vector<ManPage> man_pages(const CLI::App& app);

}  // namespace saferclip
