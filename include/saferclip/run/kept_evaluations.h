// The evaluation documents that a run keeps. Its folder evaluations/ holds step_00000500.json, made
// during training, and two kinds made by `evaluate`: step_00000500.SPLIT.json for the run's own
// split and step_00000500.SPLIT.CONTENT.json for other data under the same split name.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "saferclip/config/run_config.h"
#include "saferclip/evaluate/scores_json.h"

namespace saferclip {

// The data a document was measured on: the run's own, or other data (`--set`).
enum class MeasuredData { kOwn, kOther };

// Whether a split of `now`, the run's configuration plus `--set` values, is measured as in the
// run's own configuration: same manifest, picture locations, preprocessing and tokens.
bool is_own_split(const RunConfig& run, const RunConfig& now, const std::string& split);

// Keeps a document of `evaluate`. A document of other data
// is stored apart unless its content equals that of one of the run's own documents. An existing own
// document with different content is renamed. Returns whether the document is stored as the run's
// own.
bool keep_evaluation(const std::filesystem::path& run_folder, std::int64_t step,
                     OrderedJson document, MeasuredData data);
// Keeps a document made during training.
void keep_validation(const std::filesystem::path& run_folder, std::int64_t step,
                     const OrderedJson& document);

// Where the outcomes of single queries behind the run's own document of a split are kept.
std::filesystem::path outcomes_path(const std::filesystem::path& run_folder, std::int64_t step,
                                    std::string split);

struct KeptEvaluations {
  std::vector<OrderedJson> own;               // by split; from training only if there is no other
  std::vector<std::filesystem::path> others;  // of other data, or broken
};
// The documents of one step. `run` is the run's configuration as recorded.
KeptEvaluations kept_evaluations(const std::filesystem::path& run_folder, const RunConfig& run,
                                 std::int64_t step);

// Whether a document was made during training, where less is measured.
bool is_from_training(const OrderedJson& document);

}  // namespace saferclip
