// Gathers the report's content. Kept evaluations are reused; a missing one is made and kept. The
// galleries show pictures of each split, so its content hash is compared with its evaluation's, and
// the split is evaluated again if its data changed.
#include "saferclip/run/report_run.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <map>
#include <optional>
#include <sstream>

#include "run/closed_form_run.h"
#include "saferclip/core/error.h"
#include "saferclip/core/files.h"
#include "saferclip/core/text_format.h"
#include "saferclip/data/split_source.h"
#include "saferclip/evaluate/evaluator.h"
#include "saferclip/objective/loss_set.h"
#include "saferclip/prepare/prepare.h"
#include "saferclip/run/kept_evaluations.h"
#include "saferclip/run/open_run.h"
#include "saferclip/run/report_galleries.h"
#include "saferclip/run/run_folder.h"
#include "saferclip/run/run_reference.h"
#include "saferclip/run/training_data.h"
#include "saferclip/train/checkpoint.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

std::vector<std::pair<std::string, std::string>> facts(const Session& session, const fs::path& run,
                                                       const TrainState& state,
                                                       const TrainingData& data) {
  const RunConfig& c = session.config;
  const bool is_solved = c.adapter.method == AdapterMethod::kClosedForm;
  const OrderedJson environment =
      OrderedJson::parse(read_file(run / "environment.json"), nullptr, false);
  std::vector<std::pair<std::string, std::string>> facts{
      {"run", run.string()},
      {"steps", with_commas(state.step)},
      {"objective", to_string(c.objective.name)},
      {"trained", c.adapter.method == AdapterMethod::kLora
                      ? cat("LoRA, rank ", c.adapter.rank, ", alpha ", c.adapter.alpha)
                  : c.adapter.method == AdapterMethod::kFull ? std::string("all weights")
                                                             : method_text(c.adapter)},
      {"optimizer",
       cat(c.optimizer.name, ", learning rate ", c.optimizer.lr, ", ", c.schedule.name)},
      {"batch", cat(c.train.batch_size, ", ", state.precision.value_or(c.train.precision),
                    ", seed ", c.train.seed)},
      {"base weights", session.source.path.string()},
      {"SHA-256 of the base weights", session.source.hash()},
      {"model", to_string(session.source.geometry)},
      {"training rows", with_commas(static_cast<std::int64_t>(data.train.good_rows.size()))},
      {"training manifest", c.data.train},
      {"hash of the training images", data.train.images.content}};
  if (is_solved) {
    std::erase_if(facts, [](const auto& fact) {
      return fact.first == "objective" || fact.first == "optimizer" || fact.first == "batch";
    });
  }
  if (environment.is_object()) {
    for (const auto& [name, value] : environment.items()) {
      if (name == "never_trains") continue;
      facts.emplace_back(name, value.is_string() ? value.get<std::string>() : value.dump());
    }
  }
  return facts;
}

// The day of the last line of the run's log, "2026-11-30"; empty without one.
std::string day_of(const fs::path& run) {
  if (!fs::exists(run / "train.log")) return "";
  std::istringstream in(read_file(run / "train.log"));
  constexpr std::string_view kForm = "0000-00-00 00:";
  std::string day;
  for (std::string line; std::getline(in, line);) {
    std::string form = line.substr(0, kForm.size());
    std::replace_if(
        form.begin(), form.end(), [](char c) { return c >= '1' && c <= '9'; }, '0');
    if (form == kForm) day = line.substr(0, 10);
  }
  return day;
}

std::vector<std::pair<std::string, std::string>> byline(const Session& session, const fs::path& run,
                                                        const TrainState& state) {
  std::vector<std::pair<std::string, std::string>> byline{
      {"model",
       cat(session.source.path.filename().string(), " (", to_string(session.source.geometry), ")")},
      {"objective", to_string(session.config.objective.name)},
      {"steps", with_commas(state.step)}};
  if (session.config.adapter.method == AdapterMethod::kClosedForm) {
    byline = {byline.front(), {"method", method_text(session.config.adapter)}};
  }
  if (const std::string day = day_of(run); !day.empty()) byline.emplace_back("trained", day);
  return byline;
}

std::vector<std::int64_t> admitted_by_epoch(const TrainingData& data, const RunConfig& config) {
  std::vector<std::int64_t> admitted;
  if (!config.objective.curriculum.enabled || !loss_needs(config.objective).targets ||
      config.adapter.method == AdapterMethod::kClosedForm) {
    return admitted;
  }
  for (std::int64_t epoch = 0; epoch <= config.objective.curriculum.start_epochs.back(); ++epoch) {
    std::int64_t count = 0;
    for (const std::int64_t row : data.train.good_rows) {
      count += is_redirected(data, config.objective, row, epoch) ? 1 : 0;
    }
    admitted.push_back(count);
  }
  return admitted;
}

struct ShownSplit {
  OrderedJson document;
  bool has_gallery = true;
};

// Whether the data of a split are still those that its kept document measured. Without them the
// document stands, but has no gallery.
enum class SplitState { kMeasured, kChanged, kGone };

SplitState state_of(const EvaluationRequest& wanted, const OrderedJson& document,
                    Evaluator& evaluator, Logger& log) {
  const std::string& split = wanted.source.name;
  try {
    if (!document.contains("content") ||
        document["content"] == evaluator.describe_split(wanted)["content"]) {
      return SplitState::kMeasured;
    }
    log.warn(cat("split ", split, ": its data have changed since it was evaluated"));
    return SplitState::kChanged;
  } catch (const DataError& problem) {
    log.warn(cat("split ", split,
                 ": without galleries, because its data cannot be read: ", problem.what()));
    return SplitState::kGone;
  }
}

// The run's own kept evaluations of a step. Evaluates requested splits that have none, and those
// whose data changed.
std::vector<ShownSplit> shown_splits(const ReportRequest& request, const Session& session,
                                     const fs::path& run, std::int64_t step, Evaluator& evaluator,
                                     ClipModel& model, Logger& log) {
  std::map<std::string, OrderedJson> kept;
  const KeptEvaluations found = kept_evaluations(run, session.config, step);
  for (const fs::path& file : found.others) {
    log.warn(cat(file.string(), ": left out, because it measures other data than the run's own"));
  }
  for (const OrderedJson& document : found.own) {
    if (!is_from_training(document)) kept[document["split"].get<std::string>()] = document;
  }
  std::vector<std::string> splits = request.splits;
  if (splits.empty()) {
    for (const auto& [name, document] : kept) splits.push_back(name);
  }
  if (splits.empty())
    splits.emplace_back(session.config.data.validation.empty() ? "train" : "validation");
  // Splits whose document has zero-shot scores come first: it is the fullest.
  std::stable_partition(splits.begin(), splits.end(), [&](const std::string& split) {
    return kept.contains(split) && find_path(kept[split], "after.zero_shot") != nullptr;
  });
  std::vector<ShownSplit> shown;
  for (const std::string& split : splits) {
    const EvaluationRequest wanted{split_source(session.config.data, split), shown.empty(),
                                   bounds_source(session.config.data)};
    const SplitState state =
        kept.contains(split) ? state_of(wanted, kept[split], evaluator, log) : SplitState::kChanged;
    if (state == SplitState::kChanged) {
      log.info(cat("evaluating split ", split));
      std::optional<ModelScores> scores;
      kept[split] = evaluator.evaluate(wanted, &model, scores);
      keep_evaluation(run, step, kept[split], MeasuredData::kOwn);
    }
    shown.push_back({kept[split], state != SplitState::kGone});
  }
  return shown;
}

void add_galleries(const ReportRequest& request, const Session& session, Preparer& preparer,
                   const TrainingData& data, Evaluator& evaluator, const ClipModel& model,
                   const std::string& split, ReportContent& content) {
  const EvaluationRequest wanted{split_source(session.config.data, split), false};
  GalleryData gallery;
  gallery.split = &evaluator.split_data(wanted);
  if (!gallery.split->reference.safe_text.defined()) return;
  gallery.before = evaluator.reference_split(wanted);
  gallery.after = evaluator.embed_split(wanted, model);
  const RowRanking ranking = evaluator.ranking_of(wanted, model, gallery.after);
  gallery.unit = ranking.unit();
  gallery.after = ranking.items(gallery.after);
  if (gallery.split->manifest.has_unsafe && loss_needs(session.config.objective).targets) {
    gallery.targets =
        preparer.targets(*gallery.split, data.train, session.config.objective.targets);
  }
  content.galleries.push_back({split, unsafe_text_queries(gallery, data.train, request.queries),
                               unsafe_image_queries(gallery, data.train, request.queries),
                               worst_queries(gallery, data.train, 4)});
}

}  // namespace

ReportContent report_content(const ReportRequest& request, Logger& log, const StopFlag& stop) {
  const fs::path& run = request.run.run_folder;
  const Session session = open_run(run, request.overrides, request.compute, log);
  const fs::path checkpoint = choose_checkpoint(request.run, request.checkpoint, log);
  const TrainState state = read_train_state(checkpoint);
  Preparer preparer(session.config.data, session.source, *session.tokenizer, session.device, log,
                    &stop);
  const TrainingData data = prepare_training(session, preparer);
  ClipModel model = load_tuned(session, read_trained(session, checkpoint), checkpoint.string());
  Evaluator evaluator(session.config.evaluate, session.source, preparer, log);
  ReportContent content;
  content.title = session.config.run.name;
  content.byline = byline(session, run, state);
  for (const std::string& problem : read_never_trains(run)) {
    content.warnings.push_back(cat("never trained: ", problem));
  }
  content.facts = facts(session, run, state, data);
  content.config = dump_run_config(session.config);
  content.metrics = read_file(run / "metrics.jsonl");
  content.admitted = admitted_by_epoch(data, session.config);
  content.rows = static_cast<std::int64_t>(data.train.good_rows.size());
  for (const ShownSplit& split :
       shown_splits(request, session, run, state.step, evaluator, model, log)) {
    content.evaluations.push_back(split.document.dump());
    if (!split.has_gallery) continue;
    add_galleries(request, session, preparer, data, evaluator, model,
                  split.document["split"].get<std::string>(), content);
  }
  preparer.release_reference();
  return content;
}

}  // namespace saferclip
