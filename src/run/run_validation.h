// Validations of a run.
#pragma once

#include <optional>
#include <vector>

#include "saferclip/core/log.h"
#include "saferclip/evaluate/validation.h"
#include "saferclip/run/run_folder.h"
#include "saferclip/run/session.h"
#include "saferclip/run/training_data.h"
#include "saferclip/train/trainer.h"

namespace saferclip {

// Prepares the validation rows and scores the reference; nothing if the configuration names no
// rows. `is_fresh`: the run starts now, so that a base model that knows nothing of them is worth a
// warning.
std::optional<Validator> prepare_validation(const Session& session, Preparer& preparer,
                                            const TrainingData& data, bool is_fresh, Logger& log);

// Evaluates the current weights and keeps the document in the run's folder. All references must
// outlive it.
class RunValidation : public StepValidation {
 public:
  RunValidation(const Session& session, Validator& validator, const RunFolder& run,
                const std::vector<TrainedParameter>& parameters, Logger& log)
      : session_(session), validator_(validator), run_(run), parameters_(parameters), log_(log) {}

  ValidationResult validate(std::int64_t step) override;

 private:
  // Writes the picture of the step into the run's folder; returns its path from there, or "" if
  // there is none.
  std::string keep_gallery(std::int64_t step, const EmbeddingSet& tuned);

  const Session& session_;
  Validator& validator_;
  const RunFolder& run_;
  const std::vector<TrainedParameter>& parameters_;
  Logger& log_;
};

}  // namespace saferclip
