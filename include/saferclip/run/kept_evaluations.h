// The evaluation documents that a run keeps, by what was measured. evaluations/ holds
// step_00000500.json, made during training, and of `evaluate` step_00000500.SPLIT.json for the
// run's own split, step_00000500.SPLIT.CONTENT.json for other data that bore the name.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "saferclip/evaluate/scores_json.h"
#include "saferclip/config/run_config.h"

namespace saferclip {

// Whether a split of `now`, the configuration of a run with what `--set` changed, is measured as
// the run's own configuration has it: the same manifest, places of pictures, preparation, tokens.
bool is_own_split(const RunConfig& run, const RunConfig& now, const std::string& split);

// Keeps the document of `evaluate`. `is_own`: is_own_split; a document of other data stays apart
// unless its content is that of one of the run's own. An own one that was measured on another
// content is renamed. Whether the document stands as the run's own.
bool keep_evaluation(const std::filesystem::path& run_folder, std::int64_t step,
                     OrderedJson document, bool is_own);
// Keeps the one made during training.
void keep_validation(const std::filesystem::path& run_folder, std::int64_t step,
                     const OrderedJson& document);

struct KeptEvaluations {
  std::vector<OrderedJson> own;  // by split; the one made during training where there is no other
  std::vector<std::filesystem::path> others;  // documents of other data, and broken ones
};
// Of a step. `run` is the run's configuration as it was recorded.
KeptEvaluations kept_evaluations(const std::filesystem::path& run_folder, const RunConfig& run,
                                 std::int64_t step);

// Whether a document was made during training, which measures less.
bool is_from_training(const OrderedJson& document);

}  // namespace saferclip
