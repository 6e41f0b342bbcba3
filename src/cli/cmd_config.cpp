// `config show`, `config check` and `config keys`, and the option helpers that several commands
// share. `check` reports every problem and then fails with ConfigError; with --json, stdout holds
// the findings in either case, also from a `show` that cannot read its configuration.
#include <CLI/Error.hpp>
#include <iostream>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/next_step.h"
#include "saferclip/core/error.h"
#include "saferclip/core/home.h"
#include "saferclip/run/config_check.h"

namespace saferclip {
namespace {

void print_keys_json() {
  nlohmann::ordered_json keys = nlohmann::ordered_json::array();
  for (const KeyDoc& doc : document_keys()) {
    keys.push_back({{"key", doc.key},
                    {"type", doc.type},
                    {"default", doc.default_value},
                    {"range", doc.range},
                    {"meaning", doc.meaning},
                    {"may_change_on_resume", doc.is_free}});
  }
  std::cout << keys.dump(2) << '\n';
}

void print_keys() {
  for (const KeyDoc& doc : document_keys()) {
    std::cout << doc.key << " (" << doc.type << (doc.range.empty() ? "" : ", " + doc.range)
              << "; default " << (doc.default_value.empty() ? "none" : doc.default_value)
              << ")\n    " << doc.meaning << '\n';
  }
}

struct ConfigCommandArguments {
  ConfigArguments config;
  bool json = false;
  bool markdown = false;
};

void print_findings_json(const ConfigFindings& findings) {
  const nlohmann::ordered_json document{{"ok", findings.problems.empty()},
                                        {"problems", findings.problems},
                                        {"warnings", findings.warnings}};
  // File names in the findings need not be UTF-8.
  std::cout << document.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace)
            << '\n';
}

int show_config(const ConfigCommandArguments& arguments) {
  RunConfig config;
  try {
    config = read_run_config(arguments.config.file, arguments.config.overrides);
  } catch (const ConfigError& problem) {
    if (arguments.json) print_findings_json({{problem.what()}, {}});
    throw;
  }
  std::cout << (arguments.json ? dump_run_config_json(config) + "\n" : dump_run_config(config));
  return 0;
}

int check_config(const ConfigCommandArguments& arguments, const GlobalOptions& globals,
                 Logger& log) {
  const ConfigFindings findings =
      check_configuration(arguments.config.file, arguments.config.overrides);
  for (const std::string& warning : findings.warnings) log.warn(warning);
  if (arguments.json) print_findings_json(findings);
  if (!findings.problems.empty()) {
    throw ConfigError(problems_of(arguments.config.file, findings.problems));
  }
  if (arguments.json) return 0;
  std::cout << arguments.config.file << ": ok\n" << std::flush;
  say_next(log, command_text("train", arguments.config, globals));
  return 0;
}

}  // namespace

CLI::Option* path_option(CLI::Option* option) {
  return option->transform([](std::string path) { return expand_home(path); });
}

void add_config_arguments(CLI::App& command, ConfigArguments& arguments, const std::string& name,
                          const std::string& description) {
  path_option(command.add_option(name, arguments.file, description))->required();
  command.add_option("--set", arguments.overrides, "Override a key: --set train.batch_size=32")
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false);
}

void add_run_overrides(CLI::App& command, std::vector<std::string>& overrides) {
  command
      .add_option("--set", overrides,
                  "Point to something that has moved since the run, e.g. model.weights=PATH")
      ->allow_extra_args(false);
}

CommandAction add_config_command(CLI::App& command) {
  auto arguments = std::make_shared<ConfigCommandArguments>();
  command.require_subcommand(1);
  command.footer(
      "Examples:\n"
      "  saferclip config check my.yaml\n"
      "  saferclip config show my.yaml --set train.epochs=3\n"
      "  saferclip config keys");
  CLI::App* show = command.add_subcommand("show", "Print the resolved configuration");
  add_config_arguments(*show, arguments->config, "CONFIG", "Configuration (YAML or JSON)");
  show->add_flag("--json", arguments->json, "Print one JSON document");
  CLI::App* check = command.add_subcommand("check", "Report every problem at once");
  add_config_arguments(*check, arguments->config, "CONFIG", "Configuration (YAML or JSON)");
  check->add_flag("--json", arguments->json, "Print one JSON document");
  CLI::App* keys =
      command.add_subcommand("keys", "List every key with its type, default, range and meaning");
  keys->add_flag("--json", arguments->json, "Print one JSON document");
  keys->add_flag("--markdown", arguments->markdown, "Print the page docs/config.md");
  return [=](const GlobalOptions& globals, Logger& log) {
    if (keys->parsed()) {
      if (arguments->markdown) {
        std::cout << config_keys_markdown();
      } else {
        arguments->json ? print_keys_json() : print_keys();
      }
      return 0;
    }
    return show->parsed() ? show_config(*arguments) : check_config(*arguments, globals, log);
  };
}

}  // namespace saferclip
