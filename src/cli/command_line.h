// What stands around CLI11: `help`, `version`, no command, and what a mistyped word was meant to
// be.
#pragma once

#include <CLI/App.hpp>
#include <CLI/Error.hpp>
#include <optional>
#include <string>
#include <vector>

namespace saferclip {

// `help [COMMAND…]` and `version`, for the list of commands; answered below.
void add_word_commands(CLI::App& app);

// Looks at the words behind the program's name before they are parsed. Answers `version`, no
// command and a word that is no command, with the exit code; turns `help X` into `X --help`.
// Nothing: to be parsed.
std::optional<int> answer_words(CLI::App& app, std::vector<std::string>& words);

// What is wrong with the words, out of what a failed parse has left: an unknown option with the
// nearest one, or the problem as CLI11 has it.
std::string explain_parse_error(const CLI::App& app, const std::vector<std::string>& words,
                                const CLI::ParseError& problem);

}  // namespace saferclip
