// Validation during training: scores, the objective's loss on the validation rows, what is best.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "saferclip/evaluate/evaluator.h"
#include "saferclip/objective/loss_set.h"
#include "saferclip/objective/objective_options.h"

namespace saferclip {

// Sum of R@1 over the tasks that `auto` or `safe_clip` stands for, as far as the rows have them; or
// the number that a dotted path names in `after`, with its sign turned where less is better. Empty
// when it is not there.
std::optional<double> best_value(const OrderedJson& after, const std::string& metric);

// What a validation measures, and against which reference. The references must outlive the
// validator.
struct ValidationSetup {
  const WeightsSource& source;  // the reference
  const ObjectiveOptions& objective;
  const EvaluateOptions& evaluate;
  SplitSource split;
  std::string best_metric;      // checkpoint.best_metric
  std::int64_t batch_size = 1;  // rows of a batch of the loss, as in training
};

struct ValidationScores {
  OrderedJson document;        // as `evaluate` writes it, without intervals
  double best_value = 0;       // higher is better
  std::optional<double> loss;  // none when the validation rows lack what the objective needs
  std::string summary;         // one line for the log
};

class Validator {
 public:
  // `pool`: the training rows, among which the targets are sought. All references must outlive the
  // validator.
  Validator(ValidationSetup setup, Preparer& preparer, const SplitData& pool, Logger& log);

  // Prepares the validation rows and their targets: before the training, whose memory they would
  // share.
  void prepare();
  // Likewise the reference's scores, which no step changes.
  void score_reference();

  // What the best value is a value of: rows and metric, as a hash.
  std::string measure();

  // Says when the reference finds the partners of the validation rows no better than chance does:
  // it is not the model it is taken for, or these are not its captions. Empty otherwise.
  std::string chance_problem();

  // Throws ConfigError when the evaluation has no number `best_metric`.
  ValidationScores validate(ClipModel& model);

 private:
  // Null when the validation rows lack what the objective needs.
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
