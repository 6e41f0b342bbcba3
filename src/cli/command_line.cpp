// Finds what a mistyped command line meant. The words are walked through the commands before CLI11
// parses them, because CLI11's own messages neither name the nearest command nor say which command
// a word was read under. Refusals go to stderr, with exit code 2.
#include "cli/command_line.h"

#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <algorithm>
#include <cctype>
#include <iostream>

#include "saferclip/core/nearest_match.h"
#include "saferclip/core/text_format.h"

namespace saferclip {
namespace {

bool is_option(const std::string& word) { return word.size() > 1 && word.front() == '-'; }

std::string option_name(const std::string& word) { return word.substr(0, word.find('=')); }

// Finds an option of a command or of its parents, whose options may follow the command.
const CLI::Option* find_option(const CLI::App* app, const std::string& name) {
  for (; app != nullptr; app = app->get_parent()) {
    if (const CLI::Option* option = app->get_option_no_throw(name)) return option;
  }
  return nullptr;
}

std::vector<std::string> command_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* sub : app.get_subcommands([](const CLI::App*) { return true; })) {
    names.push_back(sub->get_name());
  }
  return names;
}

// The command with its parents: "saferclip config".
std::string full_name(const CLI::App& app) {
  return app.get_parent() == nullptr ? app.get_name()
                                     : full_name(*app.get_parent()) + " " + app.get_name();
}

// "; did you mean train?", or "" if no name is near.
std::string guess(std::string word, const std::vector<std::string>& names) {
  std::transform(word.begin(), word.end(), word.begin(),
                 [](unsigned char letter) { return static_cast<char>(std::tolower(letter)); });
  std::string near = nearest_match(word, names);
  for (const std::string& name : names) {
    if (near.empty() && word.size() > 2 && name.starts_with(word)) near = name;
  }
  return near.empty() ? "" : cat("; did you mean ", near, "?");
}

CLI::App* find_command(CLI::App& app, const std::string& name) {
  for (CLI::App* sub : app.get_subcommands([](CLI::App*) { return true; })) {
    if (sub->get_name() == name) return sub;
  }
  return nullptr;
}

// How far the words lead through the commands: the last command found and, if any, the word where a
// command was expected.
struct Walk {
  CLI::App* app = nullptr;
  std::size_t next = 0;  // the word after the last command
  std::string unknown;
  std::string unknown_option;  // before the command
  bool asks_help = false;      // --help or --version on the way
};

Walk walk_commands(CLI::App& app, const std::vector<std::string>& words, std::size_t first) {
  Walk walk{&app, first, "", "", false};
  for (std::size_t i = first; i < words.size() && words[i] != "--"; ++i) {
    const std::string& word = words[i];
    if (is_option(word)) {
      const CLI::Option* option = find_option(walk.app, option_name(word));
      const bool takes_next = option != nullptr && option->get_items_expected_max() > 0 &&
                              word.find('=') == std::string::npos;
      const bool asks = word == "--help" || word == "-h" || word == "--version";
      walk.asks_help = walk.asks_help || asks;
      if (option == nullptr && !asks && !command_names(*walk.app).empty()) {
        walk.unknown_option = word;
        break;
      }
      i += takes_next ? 1 : 0;
      continue;
    }
    if (command_names(*walk.app).empty()) break;
    CLI::App* sub = find_command(*walk.app, word);
    if (sub == nullptr) {
      walk.unknown = word;
      break;
    }
    walk.app = sub;
    walk.next = i + 1;
  }
  return walk;
}

// The options the user could have meant, as written.
std::vector<std::string> option_names(const CLI::App* app) {
  std::vector<std::string> names;
  for (; app != nullptr; app = app->get_parent()) {
    for (const CLI::Option* option : app->get_options()) {
      for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
    }
  }
  return names;
}

std::string unknown_option(const CLI::App& app, const std::string& word) {
  return cat("unknown option ", option_name(word), guess(option_name(word), option_names(&app)));
}

std::string see_help(const CLI::App& app) { return cat("; see `", full_name(app), " --help`"); }

int refuse_unknown(const CLI::App& app, const std::string& word) {
  const std::vector<std::string> names = command_names(app);
  std::cerr << full_name(app) << ": unknown command \"" << word << "\"" << guess(word, names)
            << "\ncommands: " << join(names, ", ") << "; see `" << full_name(app) << " --help`\n";
  return 2;
}

}  // namespace

void add_word_commands(CLI::App& app) {
  CLI::App* help = app.add_subcommand("help", "Show help for a command: help [COMMAND]");
  help->allow_extras();
  help->footer("Examples:\n  saferclip help train\n  saferclip help config check");
  app.add_subcommand("version", "Print the version")->footer("Example:\n  saferclip version");
}

std::optional<int> answer_words(CLI::App& app, std::vector<std::string>& words) {
  Walk walk = walk_commands(app, words, 0);
  // Also handles `config help`.
  const bool asks_words = walk.unknown == "help" && walk.app != &app;
  if (!asks_words && walk.unknown.empty() && walk.app->get_name() == "help" && !walk.asks_help) {
    const std::vector<std::string> rest(words.begin() + static_cast<std::ptrdiff_t>(walk.next),
                                        words.end());
    walk = walk_commands(app, rest, 0);
    if (walk.unknown.empty()) {
      words = rest;
      words.emplace_back("--help");
      return std::nullopt;
    }
  }
  if (asks_words) {
    *std::find(words.begin() + static_cast<std::ptrdiff_t>(walk.next), words.end(), "help") =
        "--help";
    return std::nullopt;
  }
  if (!walk.unknown_option.empty()) {
    std::cerr << full_name(*walk.app) << ": " << unknown_option(*walk.app, walk.unknown_option)
              << see_help(*walk.app) << '\n';
    return 2;
  }
  if (!walk.unknown.empty()) return refuse_unknown(*walk.app, walk.unknown);
  if (walk.app->get_name() == "version" && !walk.asks_help) {
    std::cout << app.version() << '\n';
    return 0;
  }
  if (!command_names(*walk.app).empty() && !walk.asks_help) {
    std::cerr << full_name(*walk.app) << ": a command is missing\n\n"
              << walk.app->help(walk.app->get_parent() == nullptr ? "" : app.get_name());
    return 2;
  }
  return std::nullopt;
}

std::string explain_parse_error(const CLI::App& app, const std::vector<std::string>& words,
                                const CLI::ParseError& problem) {
  const CLI::App* chosen = &app;
  while (!chosen->get_subcommands().empty()) chosen = chosen->get_subcommands().back();
  const std::string name = full_name(*chosen);
  const std::string more = see_help(*chosen);
  const std::vector<std::string> left = app.remaining(true);
  std::vector<std::string> unknown, others;
  for (const std::string& word : left) {
    if (word == "--") continue;
    if (is_option(word)) {
      unknown.push_back(unknown_option(*chosen, word));
    } else {
      others.push_back(word);
    }
  }
  if (!unknown.empty()) return cat(name, ": ", join(unknown, "; "), more);
  if (!others.empty()) {
    const bool is_twice = std::count(words.begin(), words.end(), chosen->get_name()) > 1;
    return cat(name, ": unexpected: ", join(others, " "),
               is_twice ? cat(" (the command \"", chosen->get_name(), "\" appears twice)") : "",
               more);
  }
  return cat(name, ": ", problem.what(), more);
}

}  // namespace saferclip
