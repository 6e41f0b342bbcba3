// One function per command: it declares the options and returns the action that runs the command.
#pragma once

#include <CLI/App.hpp>
#include <functional>
#include <optional>

#include "saferclip/core/enum_words.h"
#include "saferclip/core/log.h"
#include "saferclip/run/session.h"

namespace saferclip {

// Options that may stand before or after the command.
struct GlobalOptions : ComputeOptions {
  std::string log_level = "info";
};

// Runs the command and returns the exit code.
using CommandAction = std::function<int(const GlobalOptions&, Logger&)>;

CommandAction add_init_command(CLI::App& command);
CommandAction add_train_command(CLI::App& command);
CommandAction add_prepare_command(CLI::App& command);
CommandAction add_targets_command(CLI::App& command);
CommandAction add_evaluate_command(CLI::App& command);
CommandAction add_export_command(CLI::App& command);
CommandAction add_report_command(CLI::App& command);
CommandAction add_compare_command(CLI::App& command);
CommandAction add_sweep_command(CLI::App& command);
CommandAction add_recommend_command(CLI::App& command);
CommandAction add_search_command(CLI::App& command);
CommandAction add_classify_command(CLI::App& command);
CommandAction add_embed_command(CLI::App& command);
CommandAction add_inspect_command(CLI::App& command);
CommandAction add_runs_command(CLI::App& command);
CommandAction add_clean_command(CLI::App& command);
CommandAction add_config_command(CLI::App& command);
CommandAction add_doctor_command(CLI::App& command);
CommandAction add_completion_command(CLI::App& command);

// Makes an option or argument that names files expand ~ and $HOME, which a shell leaves alone in
// quotes and after `=`.
CLI::Option* path_option(CLI::Option* option);

// Adds an option that takes one of an enum's words. `value`: the enum, or an optional of it, which
// stays empty without the option.
template <class Value>
CLI::Option* enum_option(CLI::App& command, const std::string& name, Value& value,
                         const std::string& meaning) {
  using E = typename decltype(std::optional(value))::value_type;
  return command
      .add_option_function<std::string>(
          name,
          [&value](const std::string& word) {
            if (const std::optional<E> found = enum_from<E>(word)) value = *found;
          },
          meaning)
      ->check(CLI::IsMember(words_of<E>()));
}

// Adds `--set` to a command on a run, for paths that have moved.
void add_run_overrides(CLI::App& command, std::vector<std::string>& overrides);

// The configuration file and `--set`, which most commands take.
struct ConfigArguments {
  std::string file;
  std::vector<std::string> overrides;
};
void add_config_arguments(CLI::App& command, ConfigArguments& arguments, const std::string& name,
                          const std::string& description);

}  // namespace saferclip
