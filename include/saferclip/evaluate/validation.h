// Validation during training: scores, the objective's loss on the validation rows, the best value.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "saferclip/evaluate/evaluator.h"
#include "saferclip/objective/loss_set.h"
#include "saferclip/objective/objective_options.h"

namespace saferclip {

// The value that checkpoint.best_metric compares, higher is better: for `auto` and `safe_clip` the
// sum of R@1 over their tasks, as far as the rows have them; otherwise the number at the dotted
// path in `after`, negated if lower is better. nullopt if that number is absent.
std::optional<double> best_value(const OrderedJson& after, const std::string& metric);

// What a validation measures, and against which reference. The validator keeps the references,
// which must outlive it.
struct ValidationSetup {
  const WeightsSource& source;  // the reference
  const ObjectiveOptions& objective;
  const EvaluateOptions& evaluate;
  SplitSource split;
  std::string best_metric;      // checkpoint.best_metric
  std::int64_t batch_size = 1;  // rows per batch of the loss, as in training
};

struct ValidationScores {
  OrderedJson document;        // as `evaluate` writes it, without "change"
  double best_value = 0;       // higher is better
  std::optional<double> loss;  // none if the validation rows lack an input of the objective
  std::string summary;         // one line for the log
  EmbeddingSet tuned;          // the validation rows
};

class Validator {
 public:
  // `pool`: the training rows, from which targets are chosen. All references must outlive the
  // validator.
  Validator(ValidationSetup setup, Preparer& preparer, const SplitData& pool, Logger& log);

  // Prepares the validation rows and their targets. Call it before training, which needs the
  // memory.
  void prepare();
  // Scores the reference once, since no step changes it. Call it before training, too.
  void score_reference();

  // Hash of what the best value depends on: validation rows and metric.
  std::string measure();

  // A warning if the reference retrieves the partners of the validation rows no better than chance:
  // then the model or the captions are not the intended ones. Empty otherwise.
  std::string chance_problem();

  // The validation rows, and their embeddings by the reference; without any for a model from
  // scratch.
  const SplitData& split() { return evaluator_.split_data(request_); }
  EmbeddingSet reference_rows();
  const SplitData& pool() const { return pool_; }

  // Throws ConfigError if the evaluation has no number `best_metric`.
  ValidationScores validate(ClipModel& model);

 private:
  // nullopt if the validation rows lack an input of the objective.
  std::optional<MeanLosses> losses(const EmbeddingSet& tuned, const ClipModel& model);

  ValidationSetup setup_;
  Preparer& preparer_;
  const SplitData& pool_;
  Evaluator evaluator_;
  EvaluationRequest request_;
  TargetCache targets_;
  OrderedJson before_;
};

}  // namespace saferclip
