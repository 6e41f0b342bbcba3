// Fills the two columns of an evaluation: "before" is the configuration's reference, "after" a
// run's checkpoint, other weights or nothing. Splits are evaluated one by one; zero-shot sets are
// measured with the first only. The other run of --against is measured on this run's data with this
// run's settings, so both score the same rows and the comparison is paired.
#include "saferclip/run/evaluate_run.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <optional>

#include "saferclip/core/error.h"
#include "saferclip/core/files.h"
#include "saferclip/core/progress.h"
#include "saferclip/core/text_format.h"
#include "saferclip/data/split_source.h"
#include "saferclip/evaluate/evaluator.h"
#include "saferclip/evaluate/outcome_file.h"
#include "saferclip/objective/loss_set.h"
#include "saferclip/prepare/prepare.h"
#include "saferclip/run/hysac_file.h"
#include "saferclip/run/kept_evaluations.h"
#include "saferclip/run/open_run.h"
#include "saferclip/run/run_processes.h"
#include "saferclip/run/run_reference.h"
#include "saferclip/train/checkpoint.h"

namespace saferclip {
namespace {

// The "after" column: a run's checkpoint, other weights, or nothing.
struct Tuned {
  std::optional<ClipModel> model;
  std::optional<std::int64_t> step;  // of the run's checkpoint
  std::filesystem::path checkpoint;
};

ClipModel load_checkpoint(const Session& session, const std::filesystem::path& checkpoint,
                          double strength) {
  return load_tuned(session, read_trained(session, checkpoint), checkpoint.string(), strength);
}

// Other weights of objective hysac have their scalars beside them.
void read_scalars_beside(const Session& session, const std::filesystem::path& weights,
                         ClipModel& model, Logger& log) {
  if (!uses_lorentz(session.config.objective)) return;
  const auto folder = std::filesystem::is_directory(weights) ? weights : weights.parent_path();
  if (is_file(folder / kHysacFile)) {
    model.lorentz = read_hysac_file(folder / kHysacFile);
    return;
  }
  const std::string text = cat(folder.string(), ": has no ", kHysacFile);
  if (session.config.evaluate.score == ScoreKind::kLorentz) {
    throw WeightsError(
        cat(text, ", which evaluate.score: lorentz needs; use score: auto or cosine"));
  }
  log.warn(cat(text, ": these weights are ranked by cosine"));
}

Tuned tuned_model(const EvaluateRunRequest& run_request, const Session& session, bool is_run,
                  Logger& log) {
  if (!run_request.weights.empty()) {
    ModelOptions options = session.config.model;
    options.weights = options.written_weights = run_request.weights;
    options.init.clear();
    options.adapter.clear();
    const WeightsSource other = open_weights(options, 0);
    if (!(other.geometry == session.source.geometry)) {
      throw WeightsError(cat(run_request.weights, ": its geometry differs from that of ",
                             session.source.path.string()));
    }
    for (const std::string& note : other.notes) log.warn(note);
    const std::string measured = to_string(session.source.preprocessing);
    if (to_string(other.preprocessing) != measured) {
      log.warn(cat(run_request.weights, ": preprocesses images differently (",
                   to_string(other.preprocessing),
                   "); it is evaluated with the preprocessing of model.weights: ", measured));
    }
    ClipModel model = load_clip(other, at::kFloat, session.device);
    read_scalars_beside(session, other.path, model, log);
    return {std::move(model), std::nullopt, {}};
  }
  if (!is_run) return {};
  Tuned tuned;
  tuned.checkpoint = choose_checkpoint(resolve_run(run_request.file), run_request.checkpoint, log);
  log.info(cat("evaluating ", tuned.checkpoint.string()));
  tuned.step = read_train_state(tuned.checkpoint).step;
  tuned.model = load_checkpoint(session, tuned.checkpoint, 1);
  return tuned;
}

// Measures the same splits with another run's model, for the paired comparison.
class OtherRun {
 public:
  OtherRun(const std::string& path, const Session& mine, const ComputeOptions& compute, Logger& log,
           const StopFlag& stop)
      : path_(path),
        session_(open(path, mine, compute, log)),
        preparer_(session_.config.data, session_.source, *session_.tokenizer, session_.device, log,
                  &stop, session_.processes),
        evaluator_(session_.config.evaluate, session_.source, preparer_, log),
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
  // The other run's model with this run's data and evaluation settings.
  static Session open(const std::string& path, const Session& mine, const ComputeOptions& compute,
                      Logger& log) {
    const std::filesystem::path folder = resolve_run(path).run_folder;
    RunConfig config = read_run_config(folder / "config.yaml", {});
    require_base(config, folder);
    config.data = mine.config.data;
    config.evaluate = mine.config.evaluate;
    return open_session(std::move(config), compute, log);
  }

  std::string path_;
  Session session_;
  Preparer preparer_;
  Evaluator evaluator_;
  std::filesystem::path checkpoint_;
  std::int64_t step_;
};

OrderedJson strength_curve(const EvaluateRunRequest& run_request, const Session& session,
                           const Tuned& tuned, Evaluator& evaluator,
                           const EvaluationRequest& request, Logger& log) {
  OrderedJson curve = OrderedJson::array();
  Progress progress(log, "strengths", "strengths",
                    static_cast<std::int64_t>(run_request.strengths.size()));
  for (const double strength : run_request.strengths) {
    log.info(cat("strength ", strength));
    ClipModel model = load_checkpoint(session, tuned.checkpoint, strength);
    const EmbeddingSet set = evaluator.embed_split(request, model);
    curve.push_back({{"strength", strength}, {"after", evaluator.score(request, model, set).json}});
    progress.advance(1);
  }
  return curve;
}

void require_consistent(const EvaluateRunRequest& run_request, bool is_run) {
  if ((!run_request.strengths.empty() || !run_request.against.empty()) &&
      (!is_run || !run_request.weights.empty())) {
    throw ConfigError(
        cat(run_request.file,
            ": --strengths and --against need a run folder and cannot be used with --weights"));
  }
  for (const double strength : run_request.strengths) {
    if (!(strength >= kLeastStrength && strength <= kMostStrength)) {
      throw ConfigError(cat("--strengths: ", strength, " is not between ", kLeastStrength, " and ",
                            kMostStrength));
    }
  }
}

OrderedJson evaluate_split(const EvaluateRunRequest& run_request, const Session& session,
                           Tuned& tuned, Evaluator& evaluator, const EvaluationRequest& request,
                           OtherRun* other, std::optional<ModelScores>& after, Logger& log) {
  OrderedJson document = evaluator.evaluate(request, tuned.model ? &*tuned.model : nullptr, after);
  if (tuned.step) document["step"] = *tuned.step;
  if (other != nullptr && after) other->compare(request, *after, document);
  if (!run_request.strengths.empty()) {
    document["strengths"] = strength_curve(run_request, session, tuned, evaluator, request, log);
  }
  return document;
}

// Keeps the document in the run's folder, apart if it was measured on other data than the run's
// own; the outcomes of single queries of the run's own data, too.
void keep(const std::filesystem::path& run_folder, std::int64_t step, const Session& session,
          const OrderedJson& document, const std::optional<ModelScores>& after, Logger& log) {
  const auto split = document["split"].get<std::string>();
  const RunConfig recorded = read_run_config(run_folder / "config.yaml", {});
  if (keep_evaluation(run_folder, step, document,
                      is_own_split(recorded, session.config, split) ? MeasuredData::kOwn
                                                                    : MeasuredData::kOther)) {
    if (after) {
      write_outcomes(outcomes_path(run_folder, step, split), after->tables, document["after"]);
    }
  } else {
    log.warn(cat("split ", split, ": the data are not those of the run's own configuration; ",
                 "the evaluation is stored separately, and `report` and `export` do not show it"));
  }
}

// What several processes must agree on, besides the session.
Facts facts_of(const EvaluateRunRequest& run_request, const Tuned& tuned) {
  std::vector<std::string> strengths;
  for (const double strength : run_request.strengths) strengths.push_back(cat(strength));
  return {{"checkpoint", tuned.step ? std::to_string(*tuned.step) : ""},
          {"--weights", run_request.weights},
          {"--against", run_request.against},
          {"--split", join(run_request.splits, ", ")},
          {"--strengths", join(strengths, ", ")}};
}

Session open_requested(const EvaluateRunRequest& run_request, bool is_run, Logger& log) {
  if (!is_run) {
    return open_session(read_run_config(run_request.file, run_request.overrides),
                        run_request.compute, log);
  }
  return open_run(resolve_run(run_request.file).run_folder, run_request.overrides,
                  run_request.compute, log);
}

}  // namespace

std::vector<OrderedJson> evaluate_run(const EvaluateRunRequest& run_request, Logger& log,
                                      const StopFlag& stop,
                                      const std::function<void(const OrderedJson&)>& show) {
  const bool is_run = is_run_path(run_request.file);
  require_consistent(run_request, is_run);
  const Session session = open_requested(run_request, is_run, log);
  Tuned tuned = tuned_model(run_request, session, is_run, log);
  require_equal_processes(session, log, facts_of(run_request, tuned));
  std::optional<Logger::Hush> hush;
  if (!session.processes.is_first()) hush.emplace(log);
  if (!tuned.model && !session.config.model.init.empty()) {
    throw ConfigError(cat(
        run_request.file,
        ": a model trained from scratch cannot be evaluated before training; give its run folder"));
  }
  std::vector<std::string> splits = run_request.splits;
  if (splits.empty())
    splits.emplace_back(session.config.data.validation.empty() ? "train" : "validation");
  Preparer preparer(session.config.data, session.source, *session.tokenizer, session.device, log,
                    &stop, session.processes);
  Evaluator evaluator(session.config.evaluate, session.source, preparer, log);
  std::optional<OtherRun> other;
  if (!run_request.against.empty())
    other.emplace(run_request.against, session, run_request.compute, log, stop);
  std::vector<OrderedJson> documents;
  for (const std::string& split : splits) {
    const EvaluationRequest request{split_source(session.config.data, split), documents.empty(),
                                    bounds_source(session.config.data)};
    std::optional<ModelScores> after;
    documents.push_back(evaluate_split(run_request, session, tuned, evaluator, request,
                                       other ? &*other : nullptr, after, log));
    if (!session.processes.is_first()) continue;
    if (tuned.step) {
      keep(resolve_run(run_request.file).run_folder, *tuned.step, session, documents.back(), after,
           log);
    }
    show(documents.back());
  }
  preparer.release_reference();
  return documents;
}

}  // namespace saferclip
