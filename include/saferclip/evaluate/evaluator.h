// Measures a model on a split: embeds, calls the eval room, makes the JSON and the table.
#pragma once

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "saferclip/core/log.h"
#include "saferclip/eval/evaluate_options.h"
#include "saferclip/eval/retrieval.h"
#include "saferclip/evaluate/scores_json.h"
#include "saferclip/evaluate/zero_shot_set.h"
#include "saferclip/prepare/embedding.h"
#include "saferclip/prepare/prepare.h"
#include "saferclip/weights/weights.h"

namespace saferclip {

// What one model scores on one split.
struct ModelScores {
  OrderedJson json;                 // retrieval, safeground, …, intervals, space
  std::vector<PlacedTable> tables;  // the rows behind the percentages
};

struct EvaluationRequest {
  SplitSource source;
  bool with_zero_shot = false;
};

// Evaluates splits with one reference model; prepared data are kept between calls.
class Evaluator {
 public:
  // `source`: the reference. All references must outlive the evaluator.
  Evaluator(const EvaluateOptions& options, const WeightsSource& source, Preparer& preparer,
            Logger& log);

  // {"split", "n", …, "before", "after"}: the document without its scores.
  OrderedJson describe_split(const EvaluationRequest& request);
  // The reference's scores; none for a model from scratch.
  std::optional<ModelScores> score_reference(const EvaluationRequest& request);
  // Scores of a model, whose rows `set` holds, with its drift from the reference.
  ModelScores score(const EvaluationRequest& request, ClipModel& model, const EmbeddingSet& set);

  // One document with "before" and, unless `tuned` is null, "after" and "change" (paired); `after`
  // receives the tuned model's scores.
  OrderedJson evaluate(const EvaluationRequest& request, ClipModel* tuned,
                       std::optional<ModelScores>& after);

  // The rows of a split as the model embeds them; the reference's from the cache.
  EmbeddingSet embed_split(const EvaluationRequest& request, const ClipModel& model);
  EmbeddingSet reference_split(const EvaluationRequest& request);
  const SplitData& split_data(const EvaluationRequest& request);

 private:
  EmbeddingSet describe(const SplitData& split, EmbeddingSet set) const;
  // `model` embeds what the split does not hold, when the request asks for it.
  ModelScores measure(const EmbeddingSet& set, const ClipModel* model, const SplitData& split);
  void add_zero_shot(const ClipModel& model, ModelScores& scores);
  void add_real_images(const ClipModel& model, const SplitData& split, const EmbeddingSet& set,
                       ModelScores& scores);
  EmbedOptions embed_options() const;
  at::Tensor embed_files(const ClipModel& model, const std::vector<std::filesystem::path>& files,
                         const std::string& label);
  at::Tensor embed_folder(const ClipModel& model, const std::filesystem::path& folder,
                          const std::string& label);
  OrderedJson drift(const EvaluationRequest& request, const EmbeddingSet& tuned, ClipModel& model);

  const EvaluateOptions& options_;
  const WeightsSource& source_;
  Preparer& preparer_;
  Logger& log_;
  std::map<std::string, SplitData> splits_;
  std::map<std::string, ZeroShotSet> zero_shot_;
  std::set<std::string> told_;  // warnings that need no repetition for each model
};

}  // namespace saferclip
