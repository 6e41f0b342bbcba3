// `init`: writes a configuration for the user's own weights and data. What is missing is asked for
// on a terminal; anywhere else all missing options are named at once, so a script never waits.
#include <unistd.h>

#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/help_format.h"
#include "cli/json_output.h"
#include "cli/next_step.h"
#include "saferclip/core/error.h"
#include "saferclip/core/home.h"
#include "saferclip/core/output.h"
#include "saferclip/core/text_format.h"
#include "saferclip/run/starter_config.h"
#include "saferclip/run/templates.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

struct InitArguments {
  StarterRequest request;
  std::string out = "saferclip.yaml";
  ObjectiveName objective = ObjectiveName::kSaferClip;
  CLI::Option* objective_option = nullptr;
  bool lists = false;
  bool json = false;
};

bool is_dialogue() { return ::isatty(STDIN_FILENO) == 1 && ::isatty(STDOUT_FILENO) == 1; }

// Asks until there is an answer; an optional one may be empty. The end of the input ends the
// dialogue, too.
void ask(const std::string& question, bool is_required, std::string& answer) {
  while (answer.empty()) {
    std::cout << question << ": " << std::flush;
    if (!std::getline(std::cin, answer)) {
      throw ConfigError("init: the input ended before all questions were answered");
    }
    answer = expand_home(trimmed(answer));
    if (!is_required) return;
  }
}

void ask_for_missing(StarterRequest& request) {
  ask("Weights (a transformers or open_clip folder, or OpenAI's .pt file)", true, request.weights);
  ask("Data (a manifest, shards, or a folder of images with captions)", true, request.data);
  std::error_code error;
  if (fs::is_directory(request.data, error)) {
    ask("Folder of the unsafe partners, with the same file names (Enter: none)", false,
        request.unsafe);
  }
  ask("Validation data, rows you do not train on (Enter: none)", false, request.validation);
}

void require_inputs_of(const StarterRequest& request) {
  std::vector<std::string> missing;
  if (request.weights.empty()) missing.emplace_back("--weights PATH");
  if (request.data.empty()) missing.emplace_back("--data PATH");
  if (missing.empty()) return;
  throw ConfigError(cat("init: ", join(missing, " and "), missing.size() == 1 ? " is" : " are",
                        " missing, and there is no terminal to ask on; see `saferclip init "
                        "--help`"));
}

void list_templates() {
  for (const Template& each : shipped_templates()) {
    std::cout << each.name << '\n';
    for (const std::string& line : wrapped_lines(each.description, stdout_columns() - 4)) {
      std::cout << "    " << line << '\n';
    }
  }
}

// Refuses an existing file, also one behind a link.
fs::path checked_out(const InitArguments& arguments) {
  const fs::path out = output_file("--out", arguments.out);
  std::error_code error;
  if (fs::exists(out, error) && !arguments.request.may_overwrite) {
    throw ConfigError(cat("--out ", arguments.out,
                          ": exists; add --overwrite to replace it, or choose another --out"));
  }
  return out;
}

void print_next(const StarterResult& result, const std::string& file,
                const GlobalOptions& globals) {
  std::vector<std::string> evaluate{"evaluate", result.run};
  if (!result.has_validation) evaluate.insert(evaluate.end(), {"--split", "train"});
  std::cout << "next:\n  " << command_text({"train", file, "--dry-run"}, globals) << "\n  "
            << command_text({"train", file}, globals) << "\n  " << command_text(evaluate, globals)
            << '\n';
}

StarterResult write_config(InitArguments& arguments, const GlobalOptions& globals) {
  StarterRequest& request = arguments.request;
  if (!request.from.empty()) find_template(request.from);  // throws before anything is asked
  request.out = checked_out(arguments);
  request.compute = globals;
  if (arguments.objective_option->count() > 0) request.objective = arguments.objective;
  const bool is_incomplete = request.weights.empty() || request.data.empty();
  if (is_incomplete && !arguments.json && is_dialogue()) {
    ask_for_missing(request);
  } else if (request.from.empty()) {
    require_inputs_of(request);
  }
  return write_starter_config(request);
}

std::vector<std::string> all_warnings(const StarterResult& result) {
  std::vector<std::string> warnings = result.warnings;
  warnings.insert(warnings.end(), result.findings.warnings.begin(), result.findings.warnings.end());
  return warnings;
}

void require_good(const StarterResult& result, const std::string& file, Logger& log) {
  for (const std::string& warning : all_warnings(result)) log.warn(warning);
  if (result.findings.problems.empty()) return;
  throw ConfigError(problems_of(file, result.findings.problems));
}

void fill_document(InitArguments& arguments, const GlobalOptions& globals, Logger& log,
                   nlohmann::ordered_json& document) {
  if (arguments.lists) {
    document["templates"] = nlohmann::ordered_json::array();
    for (const Template& each : shipped_templates())
      document["templates"].push_back({{"name", each.name}, {"description", each.description}});
    return;
  }
  const StarterResult result = write_config(arguments, globals);
  document = {{"path", arguments.out},
              {"run", result.run},
              {"written", result.written},
              {"seen", result.seen},
              {"open", result.open},
              {"warnings", all_warnings(result)},
              {"problems", result.findings.problems}};
  require_good(result, arguments.out, log);
}

int init(InitArguments arguments, const GlobalOptions& globals, Logger& log) {
  if (arguments.json) {
    print_document_of([&](nlohmann::ordered_json& document) {
      fill_document(arguments, globals, log, document);
    });
    return 0;
  }
  if (arguments.lists) {
    list_templates();
    return 0;
  }
  const StarterResult result = write_config(arguments, globals);
  for (const std::string& line : result.seen) std::cout << line << '\n';
  for (const std::string& file : result.written) std::cout << "wrote " << file << '\n';
  require_good(result, arguments.out, log);
  if (!result.open.empty()) {
    std::cout << "still to be filled in: " << join(result.open, ", ")
              << " and the other paths\nnext:\n  "
              << command_text({"config", "check", arguments.out}, globals) << '\n';
    return 0;
  }
  std::cout << arguments.out << ": ok\n";
  print_next(result, arguments.out, globals);
  return 0;
}

}  // namespace

CommandAction add_init_command(CLI::App& command) {
  auto arguments = std::make_shared<InitArguments>();
  StarterRequest& request = arguments->request;
  path_option(command.add_option("--weights", request.weights,
                                 "Weights to start from: a folder, or OpenAI's .pt file"));
  path_option(command.add_option(
      "--data", request.data,
      "Manifest of the training rows; or shards ('DIR/{00000..00042}.tar'); or a folder of images "
      "with captions (NAME.txt beside NAME.jpg, captions.csv or metadata.csv), whose rows are then "
      "written beside the configuration"));
  path_option(command.add_option("--unsafe", request.unsafe,
                                 "For a folder: the folder of the unsafe partners, with the same "
                                 "file names; default: unsafe/ beside safe/ in --data"));
  enum_option(command, "--pair-by", request.pair_by,
              "How images of two folders become rows: name (equal file names), order (first with "
              "first) or random (the same draw each time); default: name");
  path_option(command.add_option("--validation", request.validation,
                                 "Rows for validation, in the same forms"));
  arguments->objective_option =
      enum_option(command, "--objective", arguments->objective,
                  "saferclip, safe_clip, shield_clip, clip or siglip; default: by the data");
  command.add_option("--name", request.name, "Name of the run; default: after the weights");
  path_option(command.add_option("--out", arguments->out, "File to write")->capture_default_str());
  command.add_flag("--overwrite", request.may_overwrite, "Replace existing files");
  command.add_option("--from", request.from,
                     "Start from a shipped configuration, e.g. saferclip-vit-b32");
  command.add_flag("--list", arguments->lists, "List the shipped configurations");
  command.add_flag("--json", arguments->json,
                   "Print one JSON document, also on failure, and ask nothing: files, findings");
  command.footer(
      "Examples:\n"
      "  saferclip init --weights clip-vit-base-patch32 --data rows.jsonl\n"
      "  saferclip init --weights ViT-B-32.pt --data photos --unsafe bad-photos --out my.yaml\n"
      "  saferclip init --weights ViT-B-32.pt --data 'shards/{00000..00042}.tar'\n"
      "  saferclip init --from saferclip-vit-l14 --weights ViT-L-14.pt --data rows.jsonl\n"
      "On a terminal it asks for what is missing. It looks at weights and data, chooses values\n"
      "that fit them and this machine, and checks the result as `config check` does.");
  return [arguments](const GlobalOptions& globals, Logger& log) {
    return init(*arguments, globals, log);
  };
}

}  // namespace saferclip
