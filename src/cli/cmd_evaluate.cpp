#include <ATen/ATen.h>

#include <algorithm>
#include <iostream>

#include "cli/commands.h"
#include "saferclip/evaluate/evaluator.h"
#include "saferclip/run/kept_evaluations.h"
#include "saferclip/run/open_run.h"
#include "cli/signals.h"
#include "saferclip/core/error.h"
#include "saferclip/core/atomic_files.h"
#include "saferclip/core/memory.h"
#include "saferclip/core/output.h"
#include "saferclip/core/progress.h"
#include "saferclip/core/text_format.h"
#include "saferclip/train/checkpoint.h"

namespace saferclip {
namespace {

struct EvaluateArguments {
  ConfigArguments config;
  std::string checkpoint = "latest";
  std::string weights;
  std::string against;
  std::vector<std::string> splits;
  std::vector<double> strengths;
  std::string out;
  bool json = false;
};

// What stands in the "after" column: a run's checkpoint, other weights, or nothing.
struct Tuned {
  std::optional<ClipModel> model;
  std::optional<std::int64_t> step;  // of a run's checkpoint
  std::filesystem::path checkpoint;
};

ClipModel load_checkpoint(const Session& session, const std::filesystem::path& checkpoint,
                          double strength) {
  return load_tuned(session, read_trained(session, checkpoint), checkpoint.string(), strength);
}

Tuned tuned_model(const EvaluateArguments& arguments, const Session& session, bool is_run,
                  Logger& log) {
  if (!arguments.weights.empty()) {
    ModelOptions options = session.config.model;
    options.weights = options.written_weights = arguments.weights;
    options.init.clear();
    options.adapter.clear();
    const WeightsSource other = open_weights(options, 0);
    if (!(other.geometry == session.source.geometry)) {
      throw WeightsError(
          cat(arguments.weights, ": has another geometry than ", session.source.path.string()));
    }
    for (const std::string& note : other.notes) log.warn(note);
    const std::string measured = to_string(session.source.preprocessing);
    if (to_string(other.preprocessing) != measured) {
      log.warn(cat(arguments.weights, ": prepares pictures otherwise (",
                   to_string(other.preprocessing),
                   "); measured as model.weights does: ", measured));
    }
    return {load_clip(other, at::kFloat, session.device), std::nullopt, {}};
  }
  if (!is_run) return {};
  Tuned tuned;
  tuned.checkpoint =
      choose_checkpoint(resolve_run(arguments.config.file), arguments.checkpoint, log);
  log.info(cat("evaluating ", tuned.checkpoint.string()));
  tuned.step = read_train_state(tuned.checkpoint).step;
  tuned.model = load_checkpoint(session, tuned.checkpoint, 1);
  return tuned;
}

// The same splits measured with another run's model, for the paired comparison.
class OtherRun {
 public:
  OtherRun(const std::string& path, const Session& mine, const GlobalOptions& globals, Logger& log,
           const StopFlag& stop)
      : path_(path),
        session_(open(path, mine, globals, log)),
        preparer_(session_.config.data, session_.source, *session_.tokenizer, session_.device, log,
                  &stop),
        evaluator_(session_, preparer_, log),
        checkpoint_(choose_checkpoint(resolve_run(path), "latest", log)),
        step_(read_train_state(checkpoint_).step) {}

  void compare(const EvaluationRequest& request, const ModelScores& mine, OrderedJson& document) {
    ClipModel model = load_checkpoint(session_, checkpoint_, 1);
    const ModelScores theirs =
        evaluator_.score(request, model, evaluator_.embed_split(request, model));
    preparer_.release_reference();
    document["against"] = {{"run", path_}, {"step", step_}, {"after", theirs.json}};
    document["against"]["difference"] = differences_json(
        theirs.tables, mine.tables, std::max<std::int64_t>(1, session_.config.evaluate.bootstrap),
        preparer_.stop());
  }

 private:
  // Its model, my data and settings of evaluation.
  static Session open(const std::string& path, const Session& mine, const GlobalOptions& globals,
                      Logger& log) {
    const std::filesystem::path folder = resolve_run(path).run_folder;
    RunConfig config = read_run_config(folder / "config.yaml", {});
    require_base(config, folder);
    config.data = mine.config.data;
    config.evaluate = mine.config.evaluate;
    return open_session(std::move(config), globals, log);
  }

  std::string path_;
  Session session_;
  Preparer preparer_;
  Evaluator evaluator_;
  std::filesystem::path checkpoint_;
  std::int64_t step_;
};

OrderedJson strength_curve(const EvaluateArguments& arguments, const Session& session,
                           const Tuned& tuned, Evaluator& evaluator,
                           const EvaluationRequest& request, Logger& log) {
  OrderedJson curve = OrderedJson::array();
  Progress progress(log, "strengths", "strengths",
                    static_cast<std::int64_t>(arguments.strengths.size()));
  for (const double strength : arguments.strengths) {
    log.info(cat("strength ", strength));
    ClipModel model = load_checkpoint(session, tuned.checkpoint, strength);
    const EmbeddingSet set = evaluator.embed_split(request, model);
    curve.push_back({{"strength", strength}, {"after", evaluator.score(request, model, set).json}});
    progress.advance(1);
  }
  return curve;
}

void require_consistent(const EvaluateArguments& arguments, bool is_run) {
  if ((!arguments.strengths.empty() || !arguments.against.empty()) &&
      (!is_run || !arguments.weights.empty())) {
    throw ConfigError(cat(arguments.config.file,
                          ": --strengths and --against need a run folder and no --weights"));
  }
  for (const double strength : arguments.strengths) {
    if (!(strength >= 0 && strength <= 2)) {
      throw ConfigError(cat("--strengths: ", strength, " is not between 0 and 2"));
    }
  }
}

OrderedJson evaluate_split(const EvaluateArguments& arguments, const Session& session, Tuned& tuned,
                           Evaluator& evaluator, const EvaluationRequest& request, OtherRun* other,
                           Logger& log) {
  std::optional<ModelScores> after;
  OrderedJson document = evaluator.evaluate(request, tuned.model ? &*tuned.model : nullptr, after);
  if (tuned.step) document["step"] = *tuned.step;
  if (other != nullptr && after) other->compare(request, *after, document);
  if (!arguments.strengths.empty()) {
    document["strengths"] = strength_curve(arguments, session, tuned, evaluator, request, log);
  }
  return document;
}

// Into the run's folder; what was measured on other data than the run's own stays apart.
void keep(const std::filesystem::path& run_folder, std::int64_t step, const Session& session,
          const OrderedJson& document, Logger& log) {
  const auto split = document["split"].get<std::string>();
  const RunConfig recorded = read_run_config(run_folder / "config.yaml", {});
  if (!keep_evaluation(run_folder, step, document, is_own_split(recorded, session.config, split))) {
    log.warn(cat("split ", split, ": these are not the data of the run's own configuration; ",
                 "the evaluation is kept apart, `report` and `export` do not show it"));
  }
}

int evaluate(const EvaluateArguments& arguments, const GlobalOptions& globals, Logger& log) {
  const StopFlag& stop = ask_before_ending(kGrace);
  const bool is_run = is_run_path(arguments.config.file);
  require_consistent(arguments, is_run);
  const std::filesystem::path out =
      arguments.out.empty()
          ? std::filesystem::path()
          : output_file("--out", arguments.out, "name a file, or print the document with --json");
  const std::filesystem::path file =
      is_run ? resolve_run(arguments.config.file).run_folder / "config.yaml"
             : std::filesystem::path(arguments.config.file);
  const Session session =
      is_run ? open_run(file.parent_path(), arguments.config.overrides, globals, log)
             : open_session(read_run_config(file, arguments.config.overrides), globals, log);
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
  std::optional<OtherRun> other;
  if (!arguments.against.empty()) other.emplace(arguments.against, session, globals, log, stop);
  OrderedJson documents = OrderedJson::array();
  for (const std::string& split : splits) {
    const EvaluationRequest request{split_source(session.config.data, split), documents.empty()};
    documents.push_back(evaluate_split(arguments, session, tuned, evaluator, request,
                                       other ? &*other : nullptr, log));
    if (tuned.step) {
      keep(file.parent_path(), *tuned.step, session, documents.back(), log);
    }
    if (!arguments.json) std::cout << evaluation_table(documents.back()) << '\n';
  }
  preparer.release_reference();
  const OrderedJson& result = splits.size() == 1 ? documents[0] : documents;
  if (arguments.json) std::cout << result.dump(2) << '\n';
  if (!out.empty()) {
    write_file_atomically(out, result.dump(2) + "\n");
    log.info("written: " + arguments.out);
  }
  log.info(cat("peak memory: ", human_bytes(peak_memory_bytes())));
  return 0;
}

}  // namespace

CommandAction add_evaluate_command(CLI::App& command) {
  auto arguments = std::make_shared<EvaluateArguments>();
  add_config_arguments(command, arguments->config, "CONFIG|RUN",
                       "Configuration (measures its reference) or run folder (before and after)");
  command.add_option("--checkpoint", arguments->checkpoint, "Of a run: latest, best or a step");
  path_option(command.add_option("--weights", arguments->weights,
                                 "Put these weights into the column \"after\""));
  command
      .add_option("--split", arguments->splits,
                  "validation, train or a name of data.evaluation; repeatable")
      ->allow_extra_args(false);
  command
      .add_option("--strengths", arguments->strengths,
                  "Also measure the model between unchanged (0) and tuned (1), e.g. "
                  "0,0.25,0.5,0.75,1")
      ->delimiter(',')
      ->allow_extra_args(false);
  path_option(command.add_option("--against", arguments->against,
                                 "Another run: paired differences on the same rows"));
  path_option(command.add_option("--out", arguments->out, "Write the JSON document here"));
  command.add_flag("--json", arguments->json, "Print the JSON document instead of the table");
  command.footer(
      "Examples:\n"
      "  saferclip evaluate runs/saferclip-vit-l14\n"
      "  saferclip evaluate runs/saferclip-vit-l14 --checkpoint best --split nsfwcaps --out "
      "result.json\n"
      "  saferclip evaluate runs/mine --strengths 0,0.25,0.5,0.75,1\n"
      "  saferclip evaluate runs/mine --against runs/published --split test\n"
      "Zero-shot sets are measured once, with the first split. Of a run, each document is kept in\n"
      "its folder evaluations/, from where `export` puts it into the model card.");
  return [arguments](const GlobalOptions& globals, Logger& log) {
    return evaluate(*arguments, globals, log);
  };
}

}  // namespace saferclip
