#include <ATen/ATen.h>

#include <iostream>

#include "cli/commands.h"
#include "cli/evaluation.h"
#include "cli/run_folder.h"
#include "saferclip/core/error.h"
#include "saferclip/core/files.h"
#include "saferclip/core/text_format.h"
#include "saferclip/train/checkpoint.h"

namespace saferclip {
namespace {

struct EvaluateArguments {
  ConfigArguments config;
  std::string checkpoint = "latest";
  std::string weights;
  std::vector<std::string> splits;
  std::string out;
  bool json = false;
};

// What stands in the "after" column: a run's checkpoint, other weights, or nothing.
struct Tuned {
  std::optional<ClipModel> model;
  std::optional<std::int64_t> step;  // of a run's checkpoint
};
Tuned tuned_model(const EvaluateArguments& arguments, const Session& session, bool is_run,
                  Logger& log) {
  if (!arguments.weights.empty()) {
    ModelOptions options = session.config.model;
    options.weights = arguments.weights;
    options.init.clear();
    options.adapter.clear();
    const WeightsSource other = open_weights(options, 0);
    if (!(other.geometry == session.source.geometry)) {
      throw WeightsError(
          cat(arguments.weights, ": has another geometry than ", session.source.path.string()));
    }
    return {load_clip(other, at::kFloat, session.device), std::nullopt};
  }
  if (!is_run) return {};
  const auto checkpoint =
      choose_checkpoint(resolve_run(arguments.config.file), arguments.checkpoint, log);
  log.info(cat("evaluating ", checkpoint.string()));
  return {load_tuned(session, read_trained_weights(checkpoint), checkpoint.string()),
          read_train_state(checkpoint).step};
}

int evaluate(const EvaluateArguments& arguments, const GlobalOptions& globals, Logger& log) {
  const std::atomic<int>& stop = install_signal_handlers();
  const bool is_run = is_run_path(arguments.config.file);
  const std::filesystem::path file =
      is_run ? resolve_run(arguments.config.file).run_folder / "config.yaml"
             : std::filesystem::path(arguments.config.file);
  const Session session =
      open_session(read_run_config(file, arguments.config.overrides), globals, log);
  Tuned tuned = tuned_model(arguments, session, is_run, log);
  if (!tuned.model && !session.config.model.init.empty()) {
    throw ConfigError(
        cat(arguments.config.file,
            ": a model from scratch has nothing to evaluate yet; give its run folder"));
  }
  std::vector<std::string> splits = arguments.splits;
  if (splits.empty())
    splits.emplace_back(session.config.data.validation.empty() ? "train" : "validation");
  Preparer preparer(session.config.data, session.source, *session.tokenizer, session.device, log,
                    &stop);
  Evaluator evaluator(session, preparer, log);
  OrderedJson documents = OrderedJson::array();
  bool is_first = true;
  for (const std::string& split : splits) {
    documents.push_back(evaluator.evaluate(split, split_manifest(session.config.data, split),
                                           tuned.model ? &*tuned.model : nullptr, is_first));
    if (tuned.step) {
      keep_evaluation(file.parent_path(), *tuned.step, split, documents.back().dump(2) + "\n");
    }
    is_first = false;
    if (!arguments.json) std::cout << evaluation_table(documents.back()) << '\n';
  }
  preparer.release_reference();
  const OrderedJson& result = splits.size() == 1 ? documents[0] : documents;
  if (arguments.json) std::cout << result.dump(2) << '\n';
  if (!arguments.out.empty()) {
    write_file_atomically(arguments.out, result.dump(2) + "\n");
    log.info("written: " + arguments.out);
  }
  return 0;
}

}  // namespace

CommandAction add_evaluate_command(CLI::App& command) {
  auto arguments = std::make_shared<EvaluateArguments>();
  add_config_arguments(command, arguments->config, "CONFIG|RUN",
                       "Configuration (measures its reference) or run folder (before and after)");
  command.add_option("--checkpoint", arguments->checkpoint, "Of a run: latest, best or a step");
  command.add_option("--weights", arguments->weights,
                     "Put these weights into the column \"after\"");
  command
      .add_option("--split", arguments->splits,
                  "validation, train or a name of data.evaluation; repeatable")
      ->allow_extra_args(false);
  command.add_option("--out", arguments->out, "Write the JSON document here");
  command.add_flag("--json", arguments->json, "Print the JSON document instead of the table");
  command.footer(
      "Examples:\n"
      "  saferclip evaluate runs/saferclip-vit-l14\n"
      "  saferclip evaluate runs/saferclip-vit-l14 --checkpoint best --split nsfwcaps --out "
      "result.json\n"
      "Zero-shot sets are measured once, with the first split. Of a run, each document is kept in\n"
      "its folder evaluations/, from where `export` puts it into the model card.");
  return [arguments](const GlobalOptions& globals, Logger& log) {
    return evaluate(*arguments, globals, log);
  };
}

}  // namespace saferclip
