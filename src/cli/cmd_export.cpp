// `export`: writes a run's checkpoint, or plain weights, as a folder for another tool. The path
// decides which: a run or checkpoint folder is exported with what it trained, anything else is
// converted as it is. Options that mean nothing for plain weights are refused rather than ignored.
#include <iostream>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/json_output.h"
#include "cli/next_step.h"
#include "cli/weights_arguments.h"
#include "saferclip/core/error.h"
#include "saferclip/core/output.h"
#include "saferclip/core/text_format.h"
#include "saferclip/run/export_run.h"
#include "saferclip/run/model_card.h"
#include "saferclip/run/open_run.h"
#include "saferclip/run/run_reference.h"

namespace saferclip {
namespace {

struct ExportArguments {
  WeightsArguments source;
  std::string checkpoint = "latest";
  std::vector<std::string> overrides;
  std::string out;
  ExportForm form;
  bool json = false;
};

// `run` is null for plain weights.
void print_export_json(const ExportArguments& arguments, const ExportedRun* run) {
  const ExportForm& form = arguments.form;
  nlohmann::ordered_json document{{"source", arguments.source.path},
                                  {"path", arguments.out},
                                  {"format", to_string(form.target)},
                                  {"dtype", to_string(form.dtype)},
                                  {"tower", to_string(form.tower)},
                                  {"strength", form.strength},
                                  {"step", nullptr},
                                  {"better_step", nullptr}};
  if (run != nullptr) document["step"] = run->step;
  if (run != nullptr && run->better_step) document["better_step"] = *run->better_step;
  document["files"] = files_json(arguments.out);
  print_json(document);
}

void say_after_export(const ExportArguments& arguments, const Session& session, Logger& log) {
  const ExportForm& form = arguments.form;
  const FamilyForm& family = form_of(session.source.geometry.family);
  say_next(log, cat("load it in Python with ", loading_library(form.target), ": ",
                    loading_call(form.target, form.tower, family, arguments.out)));
}

int convert_weights(const ExportArguments& arguments, const GlobalOptions& globals, Logger& log) {
  const std::string& path = arguments.source.path;
  if (arguments.form.target == ExportTarget::kPeft) {
    throw ConfigError(
        cat("--to peft: ", path, " is not a run; only a run can be exported as an adapter"));
  }
  if (arguments.form.strength != 1) {
    throw ConfigError(cat("--strength: ", path, " is not a run; there is no tuning to scale"));
  }
  if (arguments.checkpoint != "latest") {
    throw ConfigError(cat("--checkpoint: works only with a run; ", path, " is not one"));
  }
  if (!arguments.overrides.empty()) {
    throw ConfigError(cat("--set: works only with a run; ", path, " is not one"));
  }
  const Session session = open_plain_weights(arguments.source, globals, log);
  export_base(session, arguments.form, log);
  if (arguments.json) {
    print_export_json(arguments, nullptr);
    return 0;
  }
  std::cout << "exported " << path << " to " << arguments.out << '\n' << std::flush;
  say_after_export(arguments, session, log);
  return 0;
}

int export_checkpoint(const ExportArguments& arguments, const GlobalOptions& globals, Logger& log) {
  require_no_options(arguments.source);
  const RunReference run = resolve_run(arguments.source.path);
  const std::filesystem::path checkpoint = choose_checkpoint(run, arguments.checkpoint, log);
  const Session session = open_run(run.run_folder, arguments.overrides, globals, log);
  const ExportedRun exported = export_run(run, checkpoint, session, arguments.form, log);
  if (arguments.json) {
    print_export_json(arguments, &exported);
    return 0;
  }
  std::cout << "exported step " << exported.step << " to " << arguments.out << '\n';
  if (exported.better_step) {
    std::cout << "step " << *exported.better_step << " is the best by " << exported.best_metric
              << "; export it with --checkpoint best\n";
  }
  std::cout.flush();
  say_after_export(arguments, session, log);
  return 0;
}

}  // namespace

CommandAction add_export_command(CLI::App& command) {
  auto arguments = std::make_shared<ExportArguments>();
  add_weights_arguments(command, arguments->source, "RUN",
                        "Run folder, checkpoint folder, or weights to convert unchanged");
  command.add_option("--checkpoint", arguments->checkpoint, "latest, best or a step");
  add_run_overrides(command, arguments->overrides);
  enum_option(command, "--to", arguments->form.target,
              "hf: transformers folder; open_clip: local-dir folder; openai: model.pt; peft: the "
              "adapter; onnx: a graph for each tower")
      ->required();
  path_option(command.add_option("--out", arguments->out,
                                 "Folder to write; must be empty or not exist yet"))
      ->required();
  enum_option(command, "--dtype", arguments->form.dtype, "fp32, fp16 or, but for onnx, bf16");
  enum_option(command, "--tower", arguments->form.tower,
              "both, text or vision (one tower: hf, peft and onnx only)");
  command.add_option("--timm-model", arguments->form.timm_model,
                     "open_clip: timm's name for the vision tower of your own SigLIP");
  command
      .add_option("--strength", arguments->form.strength,
                  "Scale the tuning, W0 + s (W - W0): 0 is the base, 1 the tuned model; below 0 "
                  "goes the other way, above 1 beyond")
      ->check(CLI::Range(kLeastStrength, kMostStrength))
      ->check([](const std::string& text) {  // a range lets it pass
        return text.find_first_of("nN") == std::string::npos ? ""
                                                             : "Value " + text + " is no number";
      });
  command.add_flag("--json", arguments->json,
                   "Print one JSON document: format, step, files with sizes and sha256");
  command.footer(
      "Examples:\n"
      "  saferclip export runs/safe --to hf --out safe-clip\n"
      "  saferclip export runs/safe --to open_clip --strength 0.5 --dtype fp16 --out half-safe\n"
      "  saferclip export runs/safe --checkpoint best --to peft --out safe-adapter\n"
      "  saferclip export runs/safe --to hf --tower text --out safe-text-encoder\n"
      "  saferclip export runs/safe --to onnx --dtype fp16 --out safe-onnx\n"
      "  saferclip export ViT-B-32.pt --to hf --out clip-vit-base-patch32");
  return [arguments](const GlobalOptions& globals, Logger& log) {
    if (!arguments->form.timm_model.empty() && arguments->form.target != ExportTarget::kOpenClip) {
      throw ConfigError(cat("--timm-model: works only with --to open_clip, not --to ",
                            arguments->form.target, "; leave it out"));
    }
    arguments->out = output_folder("--out", arguments->out).string();
    arguments->form.out = arguments->out;
    return is_run_path(arguments->source.path) ? export_checkpoint(*arguments, globals, log)
                                               : convert_weights(*arguments, globals, log);
  };
}

}  // namespace saferclip
