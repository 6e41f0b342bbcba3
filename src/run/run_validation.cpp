// Several processes share each validation and get the same scores; the first one keeps them.
#include "run/run_validation.h"

#include <utility>

#include "run/validation_gallery.h"
#include "saferclip/core/atomic_files.h"
#include "saferclip/core/error.h"
#include "saferclip/core/files.h"
#include "saferclip/core/text_format.h"
#include "saferclip/data/split_source.h"
#include "saferclip/model/trained.h"
#include "saferclip/run/kept_evaluations.h"
#include "saferclip/run/open_run.h"
#include "saferclip/run/run_processes.h"
#include "saferclip/run/training.h"

namespace saferclip {

Validator make_validator(const Session& session, Preparer& preparer, const TrainingData& data,
                         Logger& log) {
  const RunConfig& config = session.config;
  return Validator(
      {session.source, config.objective, config.evaluate, split_source(config.data, "validation"),
       config.checkpoint.best_metric, config.train.batch_size},
      preparer, data.train, log);
}

std::optional<Validator> prepare_validation(const Session& session, Preparer& preparer,
                                            const TrainingData& data, bool is_fresh, Logger& log) {
  if (session.config.data.validation.empty()) return std::nullopt;
  std::optional<Validator> validator(make_validator(session, preparer, data, log));
  validator->prepare();
  if (session.config.evaluate.every_epochs > 0) validator->score_reference();
  const std::string problem = is_fresh ? validator->chance_problem() : "";
  if (!problem.empty()) log.warn(problem);
  return validator;
}

std::string RunValidation::keep_gallery(std::int64_t step, const EmbeddingSet& tuned) {
  try {
    const std::string png = validation_gallery(validator_, tuned);
    if (png.empty()) return "";
    const std::string path = cat("galleries/", step_name(step), ".png");
    make_folders(run_.path / "galleries");
    write_file_atomically(run_.path / path, png);
    return path;
  } catch (const DataError& problem) {
    // The originals are read again; training does not need them and goes on.
    log_.warn(cat("step ", step, ": no picture of the gallery: ", problem.what()));
    return "";
  }
}

ValidationResult RunValidation::validate(std::int64_t step) {
  ClipModel model = load_tuned(session_, trained_tensors(parameters_), "the run");
  ValidationScores scores = validator_.validate(model);
  // Of the course of training, not of the evaluation that is kept.
  OrderedJson line{{"after", scores.document["after"]}};
  if (scores.document.contains("histograms")) {
    line["histograms"] = std::move(scores.document["histograms"]);
    scores.document.erase("histograms");
  }
  if (session_.processes.is_first()) {
    keep_validation(run_.path, step, scores.document);
    const std::string picture =
        session_.config.log.tensorboard ? keep_gallery(step, scores.tuned) : "";
    if (!picture.empty()) line["images"] = {{"unsafe_texts", picture}};
  }
  return result_of_first(session_.processes,
                         {line.dump(), scores.best_value, scores.loss, std::move(scores.summary)});
}

}  // namespace saferclip
