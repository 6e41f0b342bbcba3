// Complements CLI11: `help`, `version`, a missing command, and suggestions for mistyped words.
#pragma once

#include <CLI/App.hpp>
#include <CLI/Error.hpp>
#include <optional>
#include <string>
#include <vector>

namespace saferclip {

// Declares `help [COMMAND…]` and `version` for the list of commands; answer_words handles them.
void add_word_commands(CLI::App& app);

// Handles the words after the program's name before they are parsed. Answers `version`, a missing
// command, and an unknown command or option before it, and returns the exit code. Turns `help X`
// into `X --help`. nullopt: the words are yet to be parsed.
std::optional<int> answer_words(CLI::App& app, std::vector<std::string>& words);

// The message for a failed parse, from the words it left over: unknown options with the nearest
// known ones, unexpected words, or else CLI11's own message.
std::string explain_parse_error(const CLI::App& app, const std::vector<std::string>& words,
                                const CLI::ParseError& problem);

}  // namespace saferclip
