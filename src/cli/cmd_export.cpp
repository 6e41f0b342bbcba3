#include <ATen/ATen.h>

#include <cmath>
#include <iostream>

#include "cli/commands.h"
#include "saferclip/run/model_card.h"
#include "saferclip/run/open_run.h"
#include "cli/weights_arguments.h"
#include "saferclip/core/error.h"
#include "saferclip/core/output.h"
#include "saferclip/core/progress.h"
#include "saferclip/core/text_format.h"
#include "saferclip/export/export.h"
#include "saferclip/train/checkpoint.h"

namespace saferclip {
namespace {

struct ExportArguments {
  WeightsArguments source;
  std::string checkpoint = "latest";
  std::vector<std::string> overrides;
  std::string to;
  std::string out;
  std::string dtype = "fp32";
  std::string tower = "both";
  std::string timm_model;
  double strength = 1;
};

ExportRequest make_request(const ExportArguments& arguments) {
  ExportRequest request;
  request.folder = arguments.out;
  request.dtype = arguments.dtype == "fp16"   ? at::kHalf
                  : arguments.dtype == "bf16" ? at::kBFloat16
                                              : at::kFloat;
  request.tower = arguments.tower == "text"     ? ExportedTower::kText
                  : arguments.tower == "vision" ? ExportedTower::kVision
                                                : ExportedTower::kBoth;
  request.timm_model = arguments.timm_model;
  return request;
}

CardFacts make_facts(const ExportArguments& arguments) {
  return {{}, 0, arguments.to, arguments.dtype, arguments.tower, arguments.strength};
}

void export_model(const ExportArguments& arguments, const ExportRequest& request, ClipModel& model,
                  const Session& session, Logger& log) {
  const Progress writing(log, cat("writing ", arguments.out));
  for (const std::string& note : export_weights(request, layout_named(arguments.to), model,
                                                session.source, *session.tokenizer)) {
    log.warn(note);
  }
}

int convert_weights(const ExportArguments& arguments, const GlobalOptions& globals, Logger& log) {
  if (arguments.to == "peft") {
    throw ConfigError(cat("--to peft: ", arguments.source.path,
                          " is no run; only what a run trained can be an adapter"));
  }
  if (arguments.strength != 1) {
    throw ConfigError(cat("--strength: ", arguments.source.path,
                          " is no run; there is nothing learned to scale"));
  }
  if (arguments.checkpoint != "latest") {
    throw ConfigError(cat("--checkpoint: ", arguments.source.path, " is no run"));
  }
  if (!arguments.overrides.empty()) {
    throw ConfigError(cat("--set: ", arguments.source.path, " is no run"));
  }
  const Session session = open_plain_weights(arguments.source, globals, log);
  ExportRequest request = make_request(arguments);
  request.model_card = model_card(session, make_facts(arguments));
  ClipModel model = load_clip(session.source);
  export_model(arguments, request, model, session, log);
  std::cout << "exported " << arguments.source.path << " to " << arguments.out << '\n';
  return 0;
}

// PEFT loads the folder that adapter_config.json names, and transformers takes that folder's own
// file.
void warn_of_other_base(const WeightsSource& source, Logger& log) {
  const std::filesystem::path usual = source.path / "model.safetensors";
  if (source.layout != WeightsLayout::kHuggingFace || source.files.size() != 1 ||
      source.files.front() == usual || !std::filesystem::exists(usual)) {
    return;
  }
  log.warn(cat("the adapter was tuned on ", source.files.front().string(),
               ", but transformers reads ", usual.string(), " of that folder; make a base of it: ",
               "saferclip export ", source.files.front().string(), " --to hf --out BASE"));
}

int export_run(const ExportArguments& arguments, const GlobalOptions& globals, Logger& log) {
  require_no_options(arguments.source);
  const RunReference run = resolve_run(arguments.source.path);
  const std::filesystem::path checkpoint = choose_checkpoint(run, arguments.checkpoint, log);
  const Session session = open_run(run.run_folder, arguments.overrides, globals, log);
  const TrainState state = read_train_state(checkpoint);
  const std::vector<NamedTensor> trained = read_trained(session, checkpoint);
  ExportRequest request = make_request(arguments);
  CardFacts facts = make_facts(arguments);
  facts.checkpoint = checkpoint;
  facts.step = state.step;
  request.model_card = model_card(session, facts);
  if (arguments.to == "peft") {
    warn_of_other_base(session.source, log);
    export_peft(request,
                {trained, session.config.model, session.config.adapter, arguments.strength},
                session.source);
  } else {
    ClipModel model = load_tuned(session, trained, checkpoint.string(), arguments.strength);
    export_model(arguments, request, model, session, log);
  }
  std::cout << "exported step " << state.step << " to " << arguments.out << '\n';
  const auto best = CheckpointStore(run.run_folder, log).pointer("best");
  if (best && *best != state.step) {
    std::cout << "the best step by " << session.config.checkpoint.best_metric
              << " is another one: " << *best << " (--checkpoint best)\n";
  }
  return 0;
}

}  // namespace

CommandAction add_export_command(CLI::App& command) {
  auto arguments = std::make_shared<ExportArguments>();
  add_weights_arguments(command, arguments->source, "RUN",
                        "Run folder, checkpoint folder, or weights to convert as they are");
  command.add_option("--checkpoint", arguments->checkpoint, "latest, best or a step");
  add_run_overrides(command, arguments->overrides);
  command
      .add_option("--to", arguments->to,
                  "hf: transformers folder; open_clip: local-dir folder; openai: model.pt; peft: "
                  "the adapter")
      ->required()
      ->check(CLI::IsMember({"hf", "open_clip", "openai", "peft"}));
  path_option(
      command.add_option("--out", arguments->out, "Folder to write; must be empty or not there"))
      ->required();
  command.add_option("--dtype", arguments->dtype, "fp32, fp16 or bf16")
      ->check(CLI::IsMember({"fp32", "fp16", "bf16"}));
  command.add_option("--tower", arguments->tower, "both, or text or vision alone (hf, peft)")
      ->check(CLI::IsMember({"both", "text", "vision"}));
  command.add_option("--timm-model", arguments->timm_model,
                     "open_clip: timm's name of SigLIP's vision tower, when it is one of your own");
  command
      .add_option("--strength", arguments->strength,
                  "Scales what was learned, W0 + s (W - W0): 0 the base, 1 the tuned model")
      ->check(CLI::Range(0.0, 4.0));
  command.footer(
      "Examples:\n"
      "  saferclip export runs/safe --to hf --out safe-clip\n"
      "  saferclip export runs/safe --to open_clip --strength 0.5 --dtype fp16 --out half-safe\n"
      "  saferclip export runs/safe --checkpoint best --to peft --out safe-adapter\n"
      "  saferclip export runs/safe --to hf --tower text --out safe-text-encoder\n"
      "  saferclip export ViT-B-32.pt --to hf --out clip-vit-base-patch32");
  return [arguments](const GlobalOptions& globals, Logger& log) {
    if (!arguments->timm_model.empty() && arguments->to != "open_clip") {
      throw ConfigError(
          cat("--timm-model: --to ", arguments->to, " has no such name; leave it out"));
    }
    arguments->out = output_folder("--out", arguments->out).string();
    return is_run_path(arguments->source.path) ? export_run(*arguments, globals, log)
                                               : convert_weights(*arguments, globals, log);
  };
}

}  // namespace saferclip
