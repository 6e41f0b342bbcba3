// Validation during training: scores, the objective's loss on the validation rows, what is best.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "saferclip/evaluate/evaluator.h"
#include "saferclip/train/trainer.h"

namespace saferclip {

// Sum of R@1 over the tasks that `auto` or `safe_clip` stands for, as far as the rows have them; or
// the number that a dotted path names in `after`, with its sign turned where less is better. Empty
// when it is not there.
std::optional<double> best_value(const OrderedJson& after, const std::string& metric);

class Validator {
 public:
  // All references must outlive the validator; `train` holds the pool of the targets.
  Validator(const Session& session, Preparer& preparer, const TrainingData& train,
            std::filesystem::path run_folder, Logger& log);

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

  // Evaluates what was trained so far, writes evaluations/step_XXXXXXXX.json.
  ValidationResult validate(std::int64_t step, const std::vector<NamedTensor>& trained);

 private:
  // Null when the validation rows lack what the objective needs.
  std::optional<MeanLosses> losses(const EmbeddingSet& tuned, const ClipModel& model);

  const Session& session_;
  Preparer& preparer_;
  const TrainingData& train_;
  Evaluator evaluator_;
  EvaluationRequest request_;
  TargetCache targets_;
  OrderedJson before_;
  std::filesystem::path run_folder_;
};

}  // namespace saferclip
