// Measures models on splits: embeds rows, calls the metrics of the eval room, builds the JSON
// document.
#pragma once

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "saferclip/core/log.h"
#include "saferclip/distributed/processes.h"
#include "saferclip/eval/evaluate_options.h"
#include "saferclip/eval/retrieval.h"
#include "saferclip/evaluate/row_ranking.h"
#include "saferclip/evaluate/scores_json.h"
#include "saferclip/evaluate/zero_shot_set.h"
#include "saferclip/prepare/embedding.h"
#include "saferclip/prepare/prepare.h"
#include "saferclip/weights/weights.h"

namespace saferclip {

// The scores of one model on one split.
struct ModelScores {
  OrderedJson json;                 // retrieval, safeground, …, intervals, space
  std::vector<PlacedTable> tables;  // the outcomes behind the percentages
};

struct EvaluationRequest {
  SplitSource source;
  bool with_zero_shot = false;
  // The split whose safe rows bound a traversal (evaluate.traversal); none: `source`.
  std::optional<SplitSource> bounds = {};
};

// How these processes share the tiles of a retrieval.
TileShare tile_share(const Processes& processes);

// Evaluates splits against one reference model; keeps prepared data between calls. The preparer's
// processes share the embedding and the tiles, and each gets all scores, equal to the bit.
class Evaluator {
 public:
  // `source` is the reference model. The evaluator keeps all four references, which must outlive
  // it. Throws DataError for a file of prompts that is missing or empty.
  Evaluator(const EvaluateOptions& options, const WeightsSource& source, Preparer& preparer,
            Logger& log);

  // The document without scores: {"split", "n", …, "before": null, "after": null}.
  OrderedJson describe_split(const EvaluationRequest& request);
  // The reference's scores; nullopt for a model from scratch.
  std::optional<ModelScores> score_reference(const EvaluationRequest& request);
  // The scores of a model, with its drift from the reference. `set` holds the model's rows of the
  // split, from embed_split().
  ModelScores score(const EvaluationRequest& request, ClipModel& model, const EmbeddingSet& set);

  // The whole document: "before" and, unless `tuned` is null, "after" and the paired "change".
  // `after` receives the tuned model's scores.
  OrderedJson evaluate(const EvaluationRequest& request, ClipModel* tuned,
                       std::optional<ModelScores>& after);

  // The rows of a split, embedded by `model` or, for the reference, taken from the cache.
  // L2-normalized, unless the model has Lorentz scalars.
  EmbeddingSet embed_split(const EvaluationRequest& request, const ClipModel& model);
  EmbeddingSet reference_split(const EvaluationRequest& request);
  const SplitData& split_data(const EvaluationRequest& request);
  // How the model's rows are compared; `set` holds those of the request's split.
  RowRanking ranking_of(const EvaluationRequest& request, const ClipModel& model,
                        const EmbeddingSet& set);
  // For work that each process does by itself: null with several, which stop together.
  const StopFlag* own_stop() const;

 private:
  EmbeddingSet describe(const SplitData& split, EmbeddingSet set) const;
  // `model` embeds zero-shot sets and real images; null skips them.
  ModelScores measure(const EmbeddingSet& set, const RowRanking& ranking, const ClipModel* model,
                      const SplitData& split);
  void add_zero_shot(const ClipModel& model, const RowRanking& ranking, ModelScores& scores);
  void add_real_images(const ClipModel& model, const SplitData& split, const EmbeddingSet& set,
                       const RowRanking& ranking, ModelScores& scores);
  // Of the tuned text tower on evaluate.prompts.
  double change_of_states(const ClipModel& model);
  EmbedJob embed_job(const ClipModel& model, const std::string& label) const;
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
  std::vector<std::string> prompts_;  // of evaluate.prompts, read first: a bad file costs no time
  std::set<std::string> told_;        // warnings already given, not repeated for each model
};

}  // namespace saferclip
