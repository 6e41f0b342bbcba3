#include <ATen/ATen.h>

#include <iostream>

#include "cli/commands.h"
#include "saferclip/core/error.h"
#include "saferclip/core/files.h"
#include "saferclip/core/text_format.h"
#include "saferclip/export/export.h"
#include "saferclip/train/checkpoint.h"

namespace saferclip {
namespace {

struct ExportArguments {
  std::string run;
  std::string checkpoint = "latest";
  std::string to;
  std::string out;
  std::string dtype = "fp32";
};

std::string model_card(const Session& session, const TrainState& state,
                       const std::string& checkpoint) {
  const RunConfig& config = session.config;
  return cat(
      "# ", config.run.name, "\n\nA CLIP tuned with saferclip ", SAFERCLIP_VERSION, ": objective `",
      config.objective.name, "`, ", config.adapter.method, ", ", state.step,
      " steps.\n\n- Base weights: `", session.source.path.filename().string(), "` (SHA-256 `",
      session.source.hash,
      "`). Their licence applies to these weights too; so do the terms of the training data.\n"
      "- Checkpoint: `",
      checkpoint, "`\n- Geometry: ", to_string(session.source.geometry),
      "\n\nConfiguration:\n\n```yaml\n", dump_run_config(config), "```\n");
}

int export_run(const ExportArguments& arguments, const GlobalOptions& globals, Logger& log) {
  const RunReference run = resolve_run(arguments.run);
  const std::filesystem::path checkpoint = choose_checkpoint(run, arguments.checkpoint, log);
  const Session session =
      open_session(read_run_config(run.run_folder / "config.yaml", {}), globals, log);
  const TrainState state = read_train_state(checkpoint);
  if (const auto base = state.content.find("weights");
      base != state.content.end() && base->second != session.source.hash) {
    throw WeightsError(cat(session.source.path.string(),
                           ": not the weights that this run was started from "
                           "(SHA-256 differs)"));
  }
  const std::vector<NamedTensor> trained = read_trained_weights(checkpoint);
  ExportRequest request;
  request.folder = arguments.out;
  request.dtype = arguments.dtype == "fp16"   ? at::kHalf
                  : arguments.dtype == "bf16" ? at::kBFloat16
                                              : at::kFloat;
  request.model_card = model_card(session, state, checkpoint.filename().string());
  if (arguments.to == "peft") {
    export_peft(request, trained, session.config.model, session.config.adapter, session.source);
  } else {
    ClipModel model = load_tuned(session, trained, checkpoint.string());
    export_hugging_face(request, model, session.source, *session.tokenizer);
  }
  std::cout << "exported step " << state.step << " to " << arguments.out << '\n';
  return 0;
}

}  // namespace

CommandAction add_export_command(CLI::App& command) {
  auto arguments = std::make_shared<ExportArguments>();
  command.add_option("RUN", arguments->run, "Run folder or checkpoint folder")->required();
  command.add_option("--checkpoint", arguments->checkpoint, "latest, best or a step");
  command
      .add_option("--to", arguments->to,
                  "hf: a transformers folder with merged weights; peft: the adapter")
      ->required()
      ->check(CLI::IsMember({"hf", "peft"}));
  command.add_option("--out", arguments->out, "Folder to write; must not exist")->required();
  command.add_option("--dtype", arguments->dtype, "fp32, fp16 or bf16")
      ->check(CLI::IsMember({"fp32", "fp16", "bf16"}));
  command.footer(
      "Examples:\n"
      "  saferclip export runs/safe --to hf --out safe-clip\n"
      "  saferclip export runs/safe --checkpoint best --to peft --out safe-adapter");
  return [arguments](const GlobalOptions& globals, Logger& log) {
    return export_run(*arguments, globals, log);
  };
}

}  // namespace saferclip
