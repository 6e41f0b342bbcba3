// Measures a model on a split: embeds, calls the eval room, makes the JSON and the table.
#pragma once

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "cli/build.h"
#include "saferclip/eval/retrieval.h"
#include "saferclip/train/trainer.h"

namespace saferclip {

using OrderedJson = nlohmann::ordered_json;

// Evaluates the splits of one session; prepared data and the reference's numbers are kept between
// calls.
class Evaluator {
 public:
  Evaluator(const Session& session, Preparer& preparer, Logger& log);

  // One document: {"split", "n", "before", "after", …}. `tuned` null: only "before".
  // `before` is null for a model from scratch. Zero-shot sets run when asked.
  OrderedJson evaluate(const std::string& split, const std::filesystem::path& manifest,
                       ClipModel* tuned, bool with_zero_shot);

 private:
  struct Split {
    SplitData data;
    bool has_unsafe = false;
  };
  const Split& open_split(const std::string& name, const std::filesystem::path& manifest);
  EmbeddingSet embed(const ClipModel& model, const Split& split);
  EmbeddingSet reference_set(const Split& split) const;
  EmbeddingSet describe(const Split& split, EmbeddingSet set) const;
  OrderedJson measure(const EmbeddingSet& set) const;
  OrderedJson zero_shot(const ClipModel& model);
  OrderedJson drift(const Split& split, const EmbeddingSet& tuned, ClipModel& model);

  const Session& session_;
  Preparer& preparer_;
  Logger& log_;
  std::map<std::string, Split> splits_;
  std::optional<OrderedJson> reference_zero_shot_;
};

// Where a split's manifest is: "validation", "train", or a name of data.evaluation. ConfigError
// otherwise.
std::filesystem::path split_manifest(const DataOptions& data, const std::string& split);

// Sum of R@1 over the two safe tasks and, with unsafe rows, the two unions; or the number that a
// dotted path names in `after`. Empty when it is not there.
std::optional<double> best_value(const OrderedJson& after, const std::string& metric);

// The before/after table for the terminal, at most 100 columns.
std::string evaluation_table(const OrderedJson& document);

// Validation during training.
class Validator {
 public:
  Validator(const Session& session, Preparer& preparer, std::filesystem::path run_folder,
            Logger& log);
  // Evaluates what was trained so far, writes evaluations/step_XXXXXXXX.json.
  ValidationResult validate(std::int64_t step, const std::vector<NamedTensor>& trained);

 private:
  const Session& session_;
  Evaluator evaluator_;
  std::filesystem::path run_folder_;
};

}  // namespace saferclip
