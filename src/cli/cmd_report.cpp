#include <ATen/ATen.h>

#include <algorithm>
#include <iostream>
#include <map>

#include "cli/commands.h"
#include "saferclip/evaluate/evaluator.h"
#include "saferclip/run/kept_evaluations.h"
#include "saferclip/run/open_run.h"
#include "saferclip/evaluate/galleries.h"
#include "saferclip/run/run_folder.h"
#include "cli/signals.h"
#include "saferclip/core/error.h"
#include "saferclip/core/files.h"
#include "saferclip/core/atomic_files.h"
#include "saferclip/core/output.h"
#include "saferclip/core/text_format.h"
#include "saferclip/report/report.h"
#include "saferclip/train/checkpoint.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

struct ReportArguments {
  std::string run;
  std::string checkpoint = "latest";
  std::vector<std::string> overrides;
  std::string out;
  std::vector<std::string> splits;
  std::int64_t queries = 10;
};

std::vector<std::pair<std::string, std::string>> facts(const Session& session, const fs::path& run,
                                                       const TrainState& state,
                                                       const TrainingData& data) {
  const RunConfig& c = session.config;
  const OrderedJson environment =
      OrderedJson::parse(read_file(run / "environment.json"), nullptr, false);
  std::vector<std::pair<std::string, std::string>> facts{
      {"run", run.string()},
      {"steps", with_commas(state.step)},
      {"objective", c.objective.name},
      {"trained", c.adapter.method == "lora"
                      ? cat("LoRA, rank ", c.adapter.rank, ", alpha ", c.adapter.alpha)
                      : std::string("all weights")},
      {"optimizer", cat(c.optimizer.name, ", rate ", c.optimizer.lr, ", ", c.schedule.name)},
      {"batch",
       cat(c.train.batch_size, ", ", state.precision.empty() ? c.train.precision : state.precision,
           ", seed ", c.train.seed)},
      {"base weights", session.source.path.string()},
      {"SHA-256 of the base weights", session.source.hash()},
      {"model", to_string(session.source.geometry)},
      {"training rows", with_commas(static_cast<std::int64_t>(data.train.good_rows.size()))},
      {"training manifest", c.data.train},
      {"hash of the training pictures", data.train.images.content}};
  for (const std::string& problem : read_never_trains(run)) {
    facts.emplace_back("never trained", problem);
  }
  if (environment.is_object()) {
    for (const auto& [name, value] : environment.items()) {
      if (name == "never_trains") continue;
      facts.emplace_back(name, value.is_string() ? value.get<std::string>() : value.dump());
    }
  }
  return facts;
}

std::vector<std::int64_t> admitted_by_epoch(const TrainingData& data, const RunConfig& config) {
  std::vector<std::int64_t> admitted;
  if (!config.objective.curriculum.enabled || !loss_needs(config.objective).targets)
    return admitted;
  for (std::int64_t epoch = 0; epoch <= config.objective.curriculum.start_epochs.back(); ++epoch) {
    std::int64_t count = 0;
    for (const std::int64_t row : data.train.good_rows) {
      count += is_redirected(data, config.objective, row, epoch) ? 1 : 0;
    }
    admitted.push_back(count);
  }
  return admitted;
}

// The run's own kept evaluations of a step; those of splits that are asked for and not there, or
// whose data are others by now, are made.
std::vector<OrderedJson> evaluations(const ReportArguments& arguments, const Session& session,
                                     const fs::path& run, std::int64_t step, Evaluator& evaluator,
                                     ClipModel& model, Logger& log) {
  std::map<std::string, OrderedJson> kept;
  const KeptEvaluations found = kept_evaluations(run, session.config, step);
  for (const fs::path& file : found.others) {
    log.warn(cat(file.string(), ": is left out, it is of other data than the run's own"));
  }
  for (const OrderedJson& document : found.own) {
    if (!is_from_training(document)) kept[document["split"].get<std::string>()] = document;
  }
  std::vector<std::string> splits = arguments.splits;
  if (splits.empty()) {
    for (const auto& [name, document] : kept) splits.push_back(name);
  }
  if (splits.empty())
    splits.emplace_back(session.config.data.validation.empty() ? "train" : "validation");
  // The document with most in it is read first.
  std::stable_partition(splits.begin(), splits.end(), [&](const std::string& split) {
    return kept.contains(split) && kept[split]["after"].contains("zero_shot");
  });
  std::vector<OrderedJson> documents;
  for (const std::string& split : splits) {
    const EvaluationRequest request{split_source(session.config.data, split), documents.empty()};
    // The first split's rows are shown, so they must be those that were measured.
    if (documents.empty() && kept.contains(split) && kept[split].contains("content") &&
        kept[split]["content"] != evaluator.describe_split(request)["content"]) {
      log.warn(cat("split ", split, ": its data have changed since it was evaluated"));
      kept.erase(split);
    }
    if (!kept.contains(split)) {
      log.info(cat("evaluating split ", split));
      std::optional<ModelScores> scores;
      kept[split] = evaluator.evaluate(request, &model, scores);
      keep_evaluation(run, step, kept[split], true);
    }
    documents.push_back(kept[split]);
  }
  return documents;
}

void add_galleries(const ReportArguments& arguments, const Session& session, Preparer& preparer,
                   const TrainingData& data, Evaluator& evaluator, const ClipModel& model,
                   const std::string& split, ReportContent& content) {
  const EvaluationRequest request{split_source(session.config.data, split), false};
  GalleryData gallery;
  gallery.split = &evaluator.split_data(request);
  if (!gallery.split->reference.safe_text.defined()) return;
  gallery.before = evaluator.reference_split(request);
  gallery.after = evaluator.embed_split(request, model);
  if (gallery.split->manifest.has_unsafe && loss_needs(session.config.objective).targets) {
    gallery.targets =
        preparer.targets(*gallery.split, data.train, session.config.objective.targets);
  }
  content.gallery = unsafe_text_queries(gallery, data.train, arguments.queries);
  content.worst = worst_queries(gallery, data.train, 4);
}

int report(const ReportArguments& arguments, const GlobalOptions& globals, Logger& log) {
  const StopFlag& stop = ask_before_ending(kGrace);
  const RunReference reference = resolve_run(arguments.run);
  const fs::path out =
      output_file("--out", arguments.out.empty() ? reference.run_folder / "report.html"
                                                 : fs::path(arguments.out));
  const Session session = open_run(reference.run_folder, arguments.overrides, globals, log);
  const fs::path checkpoint = choose_checkpoint(reference, arguments.checkpoint, log);
  const TrainState state = read_train_state(checkpoint);
  Preparer preparer(session.config.data, session.source, *session.tokenizer, session.device, log,
                    &stop);
  const TrainingData data = prepare_training(session, preparer);
  ClipModel model = load_tuned(session, read_trained(session, checkpoint), checkpoint.string());
  Evaluator evaluator(session, preparer, log);
  ReportContent content;
  content.title = session.config.run.name;
  content.facts = facts(session, reference.run_folder, state, data);
  content.config = dump_run_config(session.config);
  content.metrics = read_file(reference.run_folder / "metrics.jsonl");
  content.admitted = admitted_by_epoch(data, session.config);
  content.rows = static_cast<std::int64_t>(data.train.good_rows.size());
  const auto documents =
      evaluations(arguments, session, reference.run_folder, state.step, evaluator, model, log);
  for (const OrderedJson& document : documents) content.evaluations.push_back(document.dump());
  add_galleries(arguments, session, preparer, data, evaluator, model,
                documents.front()["split"].get<std::string>(), content);
  preparer.release_reference();
  write_file_atomically(out, make_report(content));
  std::cout << "report: " << out.string() << " (" << human_bytes(fs::file_size(out)) << ")\n";
  return 0;
}

}  // namespace

CommandAction add_report_command(CLI::App& command) {
  auto arguments = std::make_shared<ReportArguments>();
  path_option(command.add_option("RUN", arguments->run, "Run folder, or one of its checkpoints"))
      ->required();
  path_option(command.add_option("--out", arguments->out,
                                 "HTML file; default: report.html in the run folder"));
  command.add_option("--checkpoint", arguments->checkpoint, "latest, best or a step");
  add_run_overrides(command, arguments->overrides);
  command
      .add_option("--split", arguments->splits,
                  "Splits to show; default: those that were evaluated at this step. Repeatable")
      ->allow_extra_args(false);
  command.add_option("--queries", arguments->queries, "Unsafe queries in the gallery")
      ->check(CLI::Range(0, 40));
  command.footer(
      "Examples:\n"
      "  saferclip evaluate runs/mine --split test --strengths 0,0.25,0.5,0.75,1\n"
      "  saferclip report runs/mine --out mine.html\n"
      "One page that needs no network: what was done, losses, curriculum, before and after with\n"
      "intervals, the strength curve, tags, pictures found before and after, worst cases, drift.\n"
      "It holds thumbnails of your pictures, unsafe ones blurred until clicked.");
  return [arguments](const GlobalOptions& globals, Logger& log) {
    return report(*arguments, globals, log);
  };
}

}  // namespace saferclip
