// The program: declares the commands, parses the command line, runs one command and turns errors
// into exit codes. Errors of saferclip carry their own code; a wrong command line is 2, anything
// else 1. Signals are watched first, while there is only one thread.
#include <c10/util/Exception.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <algorithm>
#include <array>
#include <iostream>
#include <string_view>
#include <vector>

#include "cli/command_line.h"
#include "cli/commands.h"
#include "cli/help_format.h"
#include "cli/signals.h"
#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"
#include "saferclip/nn/cuda_card.h"
#include "saferclip/run/run_processes.h"

namespace {

using saferclip::CommandAction;
using saferclip::GlobalOptions;

struct Command {
  const char* name;
  const char* description;
  CommandAction (*add)(CLI::App&);
};

constexpr auto kCommands = std::to_array<Command>({
    {"init", "Write a configuration for your own data", saferclip::add_init_command},
    {"train", "Tune a CLIP or SigLIP model as configured", saferclip::add_train_command},
    {"prepare", "Build the caches that training reads", saferclip::add_prepare_command},
    {"targets", "Show where each unsafe caption is redirected", saferclip::add_targets_command},
    {"evaluate", "Measure safety and preservation, before and after",
     saferclip::add_evaluate_command},
    {"export", "Write weights for other tools", saferclip::add_export_command},
    {"report", "Write one HTML page about a run", saferclip::add_report_command},
    {"compare", "Show several runs side by side", saferclip::add_compare_command},
    {"sweep", "Train once for each combination of values", saferclip::add_sweep_command},
    {"recommend", "Try the methods on your data and say which to choose",
     saferclip::add_recommend_command},
    {"search", "Find the images of a folder that fit a text, before and after",
     saferclip::add_search_command},
    {"classify", "Label the images of a folder, before and after", saferclip::add_classify_command},
    {"embed", "Embed images or texts", saferclip::add_embed_command},
    {"inspect", "Identify a file or folder without loading it", saferclip::add_inspect_command},
    {"runs", "List runs with state, step and size", saferclip::add_runs_command},
    {"clean", "Remove old checkpoints and caches", saferclip::add_clean_command},
    {"config", "Show, check or document configurations", saferclip::add_config_command},
    {"doctor", "Check build, device and disk; estimate what can be trained",
     saferclip::add_doctor_command},
    {"completion", "Print completions for a shell, or write man pages",
     saferclip::add_completion_command},
});

saferclip::LogLevel parse_log_level(const std::string& word) {
  if (const auto level = saferclip::enum_from<saferclip::LogLevel>(word)) return *level;
  throw saferclip::ConfigError(
      saferclip::cat("--log-level ", word, ": expected debug, info, warn, error or off"));
}

void add_global_options(CLI::App& app, GlobalOptions& globals) {
  CLI::Option* level =
      app.add_option("--log-level", globals.log_level, "debug, info, warn, error or off");
  app.add_flag_callback(
         "--quiet", [&globals] { globals.log_level = "warn"; },
         "Warnings and errors alone on stderr; stdout stays as it is")
      ->excludes(level);
  app.add_option("--device", globals.device, "auto, cpu, cuda or cuda:<index>");
  app.add_option("--threads", globals.threads, "CPU threads; 0: LibTorch decides")
      ->check(CLI::NonNegativeNumber);
}

int run(int argc, char** argv) {
  CLI::App app{"saferclip: make a CLIP model safe while preserving what it knows", "saferclip"};
  app.formatter(saferclip::help_formatter());  // before the commands, which take it over
  app.set_version_flag("--version", std::string("saferclip ") + SAFERCLIP_VERSION);
  app.require_subcommand(1);
  app.fallthrough();
  app.footer(
      "Examples:\n"
      "  saferclip train configs/saferclip-vit-l14.yaml --resume auto\n"
      "  saferclip evaluate runs/saferclip-vit-l14\n"
      "  saferclip export runs/saferclip-vit-l14 --to hf --out safe-clip\n");
  GlobalOptions globals;
  add_global_options(app, globals);
  CommandAction chosen;
  std::string name;
  for (const Command& command : kCommands) {
    CLI::App* sub = app.add_subcommand(command.name, command.description);
    sub->callback([&, action = command.add(*sub)] {
      chosen = action;
      name = command.name;
    });
  }
  saferclip::add_word_commands(app);
  std::vector<std::string> words(argv + 1, argv + argc);
  if (const auto code = saferclip::answer_words(app, words)) return *code;
  try {
    app.parse(std::vector<std::string>(words.rbegin(), words.rend()));
  } catch (const CLI::ParseError& problem) {
    // CLI11's exit codes mean nothing to users: 0 for help and version, 2 for a wrong command line.
    if (problem.get_exit_code() == 0) return app.exit(problem);
    std::cerr << saferclip::explain_parse_error(app, words, problem) << '\n';
    return 2;
  }
  saferclip::Logger log(parse_log_level(globals.log_level));
  if (const auto problem = saferclip::load_cuda_library()) log.warn(*problem);
  try {
    return saferclip::is_left_to_first(name, log) ? 0 : chosen(globals, log);
  } catch (const saferclip::Error& problem) {
    log.error(problem.what());
    return problem.exit_code();
  } catch (const c10::OutOfMemoryError& problem) {
    log.error(saferclip::out_of_memory_text(problem.what_without_backtrace()));
    return saferclip::kOutOfMemory;
  } catch (const c10::AcceleratorError& problem) {
    log.error(saferclip::device_failure_text(problem.what_without_backtrace()));
    return 1;
  } catch (const c10::Error& problem) {
    log.error(std::string("LibTorch: ") + problem.what_without_backtrace());
    return 1;
  }
}

}  // namespace

int main(int argc, char** argv) {
  saferclip::watch_signals();
  try {
    return run(argc, argv);
  } catch (const saferclip::Error& problem) {
    std::cerr << "saferclip: " << problem.what() << '\n';
    return problem.exit_code();
  } catch (const std::exception& problem) {
    std::cerr << "saferclip: " << problem.what() << '\n';
    return 1;
  }
}
