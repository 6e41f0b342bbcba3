// CLI11 knows the commands, their options and, of options that take one of some words, the words:
// it shows them in braces. Each shell has its own way to say the same.
#include "cli/shell_texts.h"

#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <algorithm>
#include <iterator>

#include "saferclip/core/text_format.h"

namespace saferclip {
namespace {

struct OptionText {
  std::vector<std::string> names;  // --resume, -h
  std::string meaning;
  std::string value;               // how help calls it; "" for a flag
  std::vector<std::string> words;  // that it takes; empty: any
};

struct CommandText {
  std::vector<std::string> names;  // config, show; none: the program itself
  std::string description;
  std::string footer;
  std::vector<OptionText> options;
  std::vector<OptionText> positionals;
  std::vector<std::string> subcommands;
};

OptionText text_of(const CLI::Option& option) {
  OptionText text;
  for (const std::string& name : option.get_lnames()) text.names.push_back("--" + name);
  for (const std::string& name : option.get_snames()) text.names.push_back("-" + name);
  if (text.names.empty()) text.names.push_back(option.get_name());
  text.meaning = option.get_description();
  if (option.get_items_expected_max() == 0) return text;
  text.value = option.get_type_name();
  const std::size_t open = text.value.find('{'), close = text.value.find('}');
  if (open != std::string::npos && close != std::string::npos) {
    std::string word;
    for (const char letter : text.value.substr(open + 1, close - open - 1) + ",") {
      if (letter != ',') {
        word += letter;
        continue;
      }
      text.words.push_back(std::move(word));
      word.clear();
    }
    text.value = "WORD";
  }
  return text;
}

std::vector<const CLI::App*> subcommands_of(const CLI::App& app) {
  return app.get_subcommands([](const CLI::App*) { return true; });
}

void add_options(const CLI::App& app, CommandText& text) {
  for (const CLI::Option* option : app.get_options()) {
    (option->get_positional() ? text.positionals : text.options).push_back(text_of(*option));
  }
}

// The program, its commands and their subcommands. Options of the program may follow any command.
std::vector<CommandText> texts_of(const CLI::App& app) {
  std::vector<CommandText> texts;
  const auto add = [&](const CLI::App& command, std::vector<std::string> names) {
    CommandText text{std::move(names), command.get_description(), command.get_footer(), {}, {}, {}};
    add_options(command, text);
    if (&command != &app) {
      CommandText global;
      add_options(app, global);
      for (OptionText& option : global.options) {
        const auto has = [&](const OptionText& own) { return own.names == option.names; };
        if (std::ranges::none_of(text.options, has)) text.options.push_back(std::move(option));
      }
    }
    for (const CLI::App* sub : subcommands_of(command)) text.subcommands.push_back(sub->get_name());
    texts.push_back(std::move(text));
  };
  add(app, {});
  for (const CLI::App* command : subcommands_of(app)) {
    add(*command, {command->get_name()});
    for (const CLI::App* sub : subcommands_of(*command)) {
      add(*sub, {command->get_name(), sub->get_name()});
    }
  }
  return texts;
}

// The commands below a command.
std::vector<CommandText> below(const CommandText& command, const std::vector<CommandText>& all) {
  std::vector<CommandText> found;
  std::ranges::copy_if(all, std::back_inserter(found), [&](const CommandText& other) {
    return other.names.size() == command.names.size() + 1 &&
           std::equal(command.names.begin(), command.names.end(), other.names.begin());
  });
  return found;
}

std::string words_of_options(const std::vector<OptionText>& options) {
  std::vector<std::string> names;
  for (const OptionText& option : options) {
    names.insert(names.end(), option.names.begin(), option.names.end());
  }
  return join(names, " ");
}

std::string bash_script(const std::vector<CommandText>& commands) {
  std::string script =
      "# bash completion of saferclip; made by `saferclip completion bash`\n"
      "_saferclip() {\n"
      "  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]}\n"
      "  local command=\"\" word words=\"\" files=yes\n"
      "  for word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n"
      "    case \"$command $word\" in\n";
  for (const CommandText& command : commands) {
    if (command.names.empty()) continue;
    script += cat("      \"", command.names.size() == 1 ? " " : "", join(command.names, " "),
                  "\") command=\"", join(command.names, " "), "\" ;;\n");
  }
  script += "    esac\n  done\n  case \"$command:$previous\" in\n";
  for (const CommandText& command : commands) {
    for (const OptionText& option : command.options) {
      if (option.words.empty()) continue;
      script += cat("    \"", join(command.names, " "), ":", option.names.front(),
                    "\") COMPREPLY=($(compgen -W \"", join(option.words, " "),
                    "\" -- \"$current\")); return ;;\n");
    }
  }
  script += "  esac\n  case \"$command\" in\n";
  for (const CommandText& command : commands) {
    script +=
        cat("    \"", join(command.names, " "), "\") words=\"", join(command.subcommands, " "),
            command.subcommands.empty() ? "" : " ", words_of_options(command.options), "\"",
            command.subcommands.empty() ? "" : "; files=", command.subcommands.empty() ? "" : "no",
            " ;;\n");
  }
  return script +
         "  esac\n"
         "  if [ \"$files\" = yes ] && [[ $current != -* ]]; then\n"
         "    COMPREPLY=($(compgen -f -- \"$current\"))\n"
         "  else\n"
         "    COMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n"
         "  fi\n"
         "}\n"
         "complete -o filenames -o bashdefault -F _saferclip saferclip\n";
}

std::string escaped(const std::string& text, const std::string& special) {
  std::string result;
  for (const char letter : text) {
    if (letter == '\n') {
      result += ' ';
      continue;
    }
    if (special.find(letter) != std::string::npos) result += '\\';
    result += letter;
  }
  return result;
}

// In single quotes of a POSIX shell, where only a single quote ends them.
std::string quoted(const std::string& text) {
  std::string result = "'";
  for (const char letter : text)
    result += letter == '\'' ? std::string("'\\''") : std::string(1, letter);
  return result + "'";
}

std::string zsh_arguments(const CommandText& command) {
  std::string lines;
  for (const OptionText& option : command.options) {
    const std::string taken = option.value.empty()   ? ""
                              : option.words.empty() ? cat(":", option.value, ":_files")
                                                     : cat(":word:(", join(option.words, " "), ")");
    for (const std::string& name : option.names) {
      lines +=
          cat(" \\\n        ", quoted(cat("*", name, "[", escaped(option.meaning, "[]:\\"), "]",
                                          escaped(taken, option.words.empty() ? "=" : ""))));
    }
  }
  return lines;
}

std::string zsh_script(const std::vector<CommandText>& commands) {
  std::string script =
      "#compdef saferclip\n# made by `saferclip completion zsh`\n"
      "_saferclip() {\n  local context state state_descr line\n  typeset -A opt_args\n";
  const auto describe = [&](const CommandText& command, const std::string& variable) {
    script += cat("  local -a ", variable, "=(\n");
    for (const CommandText& other : below(command, commands)) {
      script += cat("    ", quoted(cat(other.names.back(), ":", escaped(other.description, ":\\"))),
                    "\n");
    }
    script += "  )\n";
  };
  for (const CommandText& command : commands) {
    if (!command.subcommands.empty()) describe(command, "commands_" + join(command.names, "_"));
  }
  script += cat("  _arguments -C", zsh_arguments(commands.front()),
                " \\\n        '1:command:{_describe command commands_}' '*::argument:->rest'\n",
                "  [[ $state == rest ]] || return\n  local command=$words[1]\n",
                "  [[ $command == config && -n $words[2] && $CURRENT -gt 2 ]] && command=\"config "
                "$words[2]\"\n  case $command in\n");
  for (const CommandText& command : commands) {
    if (command.names.empty()) continue;
    script += cat("    ", quoted(join(command.names, " ")), ")\n      _arguments",
                  zsh_arguments(command));
    script += command.subcommands.empty()
                  ? std::string(" \\\n        '*:file:_files' ;;\n")
                  : cat(" \\\n        '1:command:{_describe command commands_",
                        join(command.names, "_"), "}' ;;\n");
  }
  return script + "  esac\n}\n_saferclip \"$@\"\n";
}

std::string fish_script(const std::vector<CommandText>& commands) {
  std::string script = "# fish completion of saferclip; made by `saferclip completion fish`\n";
  const auto text = [](const std::string& words) { return cat("'", escaped(words, "'\\"), "'"); };
  for (const CommandText& command : commands) {
    std::vector<std::string> seen;
    for (const std::string& name : command.names) {
      seen.push_back("__fish_seen_subcommand_from " + name);
    }
    const std::string when = command.names.empty() ? "__fish_use_subcommand" : join(seen, "; and ");
    for (const CommandText& other : below(command, commands)) {
      script += cat("complete -c saferclip -f -n '", when, "' -a ", other.names.back(), " -d ",
                    text(other.description), "\n");
    }
    for (const OptionText& option : command.options) {
      script += cat("complete -c saferclip -n '", when, "'");
      for (const std::string& name : option.names) {
        script += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
      }
      if (!option.value.empty()) script += option.words.empty() ? " -r" : " -x";
      if (!option.words.empty()) script += cat(" -a '", join(option.words, " "), "'");
      script += cat(" -d ", text(option.meaning), "\n");
    }
  }
  return script;
}

// Text for troff: backslashes and hyphens as they are, no line that begins with a control
// character.
std::string troff(const std::string& text) {
  std::string result;
  bool is_first = true;
  for (const char letter : text) {
    if (is_first && (letter == '.' || letter == '\'')) result += "\\&";
    is_first = letter == '\n';
    if (letter == '\\') {
      result += "\\e";
    } else if (letter == '-') {
      result += "\\-";
    } else {
      result += letter;
    }
  }
  return result;
}

std::string man_options(const std::string& title, const std::vector<OptionText>& options) {
  if (options.empty()) return "";
  std::string page = cat(".SH ", title, "\n");
  for (const OptionText& option : options) {
    page += cat(".TP\n.B ", troff(join(option.names, ", ")));
    if (option.names.front().starts_with("-") && !option.value.empty()) {
      page += cat(" \\fI", troff(option.value), "\\fR");
    }
    page += cat("\n", troff(option.meaning), "\n");
    if (!option.words.empty()) page += cat("One of: ", troff(join(option.words, ", ")), ".\n");
  }
  return page;
}

ManPage man_page(const CommandText& command, const std::vector<CommandText>& all) {
  std::vector<std::string> words{"saferclip"};
  words.insert(words.end(), command.names.begin(), command.names.end());
  const std::string name = join(words, "-");
  std::string page = cat(".TH ", troff(name), " 1 \"\" \"saferclip ", SAFERCLIP_VERSION, "\"\n",
                         ".SH NAME\n", troff(name), " \\- ", troff(command.description), "\n",
                         ".SH SYNOPSIS\n.B ", troff(join(words, " ")), "\n[OPTIONS]");
  for (const OptionText& positional : command.positionals) page += " " + troff(positional.names[0]);
  if (!command.subcommands.empty()) page += " COMMAND";
  page += "\n" + man_options("ARGUMENTS", command.positionals);
  page += man_options("OPTIONS", command.options);
  if (!command.subcommands.empty()) {
    page += ".SH COMMANDS\n";
    for (const CommandText& other : below(command, all)) {
      page += cat(".TP\n.BR saferclip\\-", troff(join(other.names, "-")), " (1)\n",
                  troff(other.description), "\n");
    }
  }
  if (!command.footer.empty()) page += cat(".SH NOTES\n.nf\n", troff(command.footer), "\n.fi\n");
  if (!command.names.empty()) page += ".SH SEE ALSO\n.BR saferclip (1)\n";
  return {name + ".1", page};
}

}  // namespace

std::string completion_script(const CLI::App& app, Shell shell) {
  const std::vector<CommandText> commands = texts_of(app);
  switch (shell) {
    case Shell::kZsh:
      return zsh_script(commands);
    case Shell::kFish:
      return fish_script(commands);
    case Shell::kBash:
      break;
  }
  return bash_script(commands);
}

std::vector<ManPage> man_pages(const CLI::App& app) {
  const std::vector<CommandText> commands = texts_of(app);
  std::vector<ManPage> pages;
  for (const CommandText& command : commands) pages.push_back(man_page(command, commands));
  return pages;
}

}  // namespace saferclip
