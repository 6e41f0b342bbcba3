// One function a command: declares its options on the application and gives back what runs it.
#pragma once

#include <CLI/App.hpp>
#include <functional>

#include "saferclip/core/log.h"
#include "saferclip/run/session.h"

namespace saferclip {

// What the options before or after the command say.
struct GlobalOptions : ComputeOptions {
  std::string log_level = "info";
};

// Runs the command; the result is the exit code.
using CommandAction = std::function<int(const GlobalOptions&, Logger&)>;

CommandAction add_train_command(CLI::App& command);
CommandAction add_prepare_command(CLI::App& command);
CommandAction add_targets_command(CLI::App& command);
CommandAction add_evaluate_command(CLI::App& command);
CommandAction add_export_command(CLI::App& command);
CommandAction add_report_command(CLI::App& command);
CommandAction add_embed_command(CLI::App& command);
CommandAction add_inspect_command(CLI::App& command);
CommandAction add_config_command(CLI::App& command);
CommandAction add_doctor_command(CLI::App& command);

// Lets an option or argument that names files have ~ and $HOME, which a shell leaves alone in
// quotes and behind `=`, expanded.
CLI::Option* path_option(CLI::Option* option);

// `--set` for a command on a run: what has moved since.
void add_run_overrides(CLI::App& command, std::vector<std::string>& overrides);

// `CONFIG` and `--set`, which most commands take.
struct ConfigArguments {
  std::string file;
  std::vector<std::string> overrides;
};
void add_config_arguments(CLI::App& command, ConfigArguments& arguments, const std::string& name,
                          const std::string& description);

}  // namespace saferclip
