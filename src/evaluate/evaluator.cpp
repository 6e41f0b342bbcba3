// Runs all measurements of one split: embeds the rows, calls the metrics of the eval room and
// collects their outcome tables and JSON. Splits and zero-shot sets are read once and kept. The
// reference's rows come from the cache; a tuned model embeds its own. A model from scratch has no
// reference, hence neither "before" nor drift.
#include "saferclip/evaluate/evaluator.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "evaluate/space_json.h"
#include "saferclip/core/error.h"
#include "saferclip/core/hash.h"
#include "saferclip/core/progress.h"
#include "saferclip/core/text_file.h"
#include "saferclip/core/text_format.h"
#include "saferclip/eval/space.h"
#include "saferclip/model/tensor_slots.h"
#include "saferclip/prepare/embedding.h"
#include "saferclip/prepare/prepare.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

// Works in chunks, because a whole token embedding would need four temporaries in double.
constexpr std::int64_t kNumbersAtOnce = 1 << 20;

// L2 distance of one tower's merged weights, projection included, from the source's, absolute and
// relative to the source's norm.
std::pair<double, double> weight_distance(const WeightsSource& source, ClipModel& model,
                                          const std::string& tower) {
  double squared = 0;
  double norm = 0;
  const std::string projection = tower == "text" ? "text_projection" : "visual_projection";
  for (const TensorSlot& slot : tensor_slots(model)) {
    if (!slot.name.starts_with(tower) && !slot.name.starts_with(projection)) continue;
    const at::Tensor reference = source.tensor(slot.name).reshape({-1});
    const at::Tensor tuned = slot_view(slot).detach().to(at::kCPU).reshape({-1});
    for (std::int64_t begin = 0; begin < reference.size(0); begin += kNumbersAtOnce) {
      const std::int64_t count = std::min(kNumbersAtOnce, reference.size(0) - begin);
      const at::Tensor part = reference.narrow(0, begin, count).to(at::kDouble);
      squared += (tuned.narrow(0, begin, count) - part).square().sum().item<double>();
      norm += part.square().sum().item<double>();
    }
    if (source.release_pages) source.release_pages();
  }
  return {std::sqrt(squared), norm > 0 ? std::sqrt(squared / norm) : 0};
}

// Hash of what was measured, independent of names and paths: pictures, captions and the grouping of
// rows.
std::string content_of(const SplitData& split) {
  Sha256 hash;
  hash.add("split").add(split.images.content).add(split.tokens.key);
  for (const std::int64_t i : split.good_rows) {
    const ManifestRow& row = split.manifest.rows[static_cast<std::size_t>(i)];
    hash.add(i).add(row.tag).add(row.gallery).add(row.pair);
  }
  return hash.hex();
}

std::vector<bool> unsafe_pictures(const SplitData& data) {
  std::vector<bool> there;
  there.reserve(data.good_rows.size());
  const auto* valid = data.images.valid.const_data_ptr<std::uint8_t>();
  const std::int64_t width = data.images.valid.size(1);
  for (const std::int64_t row : data.good_rows) {
    there.push_back(data.manifest.has_unsafe && valid[row * width + 1] != 0);
  }
  return there;
}

}  // namespace

Evaluator::Evaluator(const EvaluateOptions& options, const WeightsSource& source,
                     Preparer& preparer, Logger& log)
    : options_(options), source_(source), preparer_(preparer), log_(log) {
  if (!options.prompts.empty()) prompts_ = read_lines(options.prompts);
}

TileShare tile_share(const Processes& processes) {
  return {processes.rank(), processes.size(),
          [processes](const at::Tensor& row) { return processes.gather_rows(row); }};
}

const StopFlag* Evaluator::own_stop() const {
  return preparer_.processes().is_alone() ? preparer_.stop() : nullptr;
}

EmbedJob Evaluator::embed_job(const ClipModel& model, const std::string& label) const {
  EmbedJob job{log_, label, options_.batch_size, preparer_.stop()};
  job.normalizes = !model.lorentz.is_defined();
  job.processes = preparer_.processes();
  return job;
}

// Measures the unsafe half if the manifest has one, whatever the objective trains on.
const SplitData& Evaluator::split_data(const EvaluationRequest& request) {
  const auto known = splits_.find(request.source.name);
  if (known != splits_.end()) return known->second;
  const bool has_reference = source_.layout != WeightsLayout::kRandom;
  return splits_
      .emplace(request.source.name,
               preparer_.split(request.source, {UnsafeHalf::kIfAnyRowHasOne, has_reference}))
      .first->second;
}

EmbeddingSet Evaluator::describe(const SplitData& split, EmbeddingSet set) const {
  set.for_each([&](at::Tensor& rows) {
    if (rows.defined()) rows = select_rows(rows, split.good_rows);
  });
  set.has_unsafe_image = unsafe_pictures(split);
  for (const std::int64_t i : split.good_rows) {
    const auto place = static_cast<std::size_t>(i);
    const ManifestRow& row = split.manifest.rows[place];
    set.safe_picture.push_back(split.images.safe_picture[place]);
    if (split.manifest.has_unsafe) {
      set.unsafe_picture.push_back(split.images.unsafe_picture[place]);
    }
    set.gallery.push_back(row.gallery);
    set.tag.push_back(row.tag);
    set.pair.push_back(row.pair);
  }
  const auto is_empty = [](const std::string& word) { return word.empty(); };
  if (std::all_of(set.gallery.begin(), set.gallery.end(), is_empty)) set.gallery.clear();
  if (std::any_of(set.pair.begin(), set.pair.end(), is_empty)) set.pair.clear();
  return set;
}

EmbeddingSet Evaluator::embed_split(const EvaluationRequest& request, const ClipModel& model) {
  const SplitData& split = split_data(request);
  const ImageCache& images = split.images;
  const std::string safe = cat("embedding ", split.name, " safe");
  const std::string unsafe = cat("embedding ", split.name, " unsafe");
  const auto pictures = [&](const at::Tensor& pixels, const std::vector<std::int64_t>& picture,
                            const std::string& label) {
    return embed_pictures(model, source_.preprocessing, pixels, picture, embed_job(model, label));
  };
  EmbeddingSet set;
  set.safe_text = embed_ids(model, split.tokens.safe, embed_job(model, safe));
  set.safe_image = pictures(images.safe, images.safe_picture, safe);
  if (split.manifest.has_unsafe) {
    set.unsafe_text = embed_ids(model, split.tokens.unsafe, embed_job(model, unsafe));
    set.unsafe_image = pictures(images.unsafe, images.unsafe_picture, unsafe);
  }
  return describe(split, std::move(set));
}

EmbeddingSet Evaluator::reference_split(const EvaluationRequest& request) {
  const SplitData& split = split_data(request);
  EmbeddingSet set;
  static_cast<EmbeddingRows&>(set) = split.reference;
  return describe(split, std::move(set));
}

RowRanking Evaluator::ranking_of(const EvaluationRequest& request, const ClipModel& model,
                                 const EmbeddingSet& set) {
  if (!model.lorentz.is_defined()) return {};
  RowRanking ranking(model.lorentz, options_);
  const bool is_own = !request.bounds || request.bounds->name == request.source.name;
  if (is_own) {
    ranking.set_bounds(ranking.find_bounds(request.source.name, set, distinct_safe_pictures(set)));
  } else if (ranking.moves()) {
    const EvaluationRequest other{*request.bounds};
    const EmbeddingSet safe = embed_split(other, model);
    ranking.set_bounds(
        ranking.find_bounds(request.bounds->name, safe, distinct_safe_pictures(safe)));
  }
  return ranking;
}

ModelScores Evaluator::measure(const EmbeddingSet& set, const RowRanking& ranking,
                               const ClipModel* model, const SplitData& split) {
  preparer_.processes().throw_if_any_stopped(preparer_.stop(), "interrupted before ranking");
  const StopFlag* stop = own_stop();
  std::vector<std::int64_t> k = options_.k;
  k.push_back(1);  // needed by best_metric and the table
  std::optional<Progress> working(std::in_place, log_, cat("ranking ", split.name));
  const std::optional<EmbeddingSet> images_ask =
      ranking.moves() ? std::optional(ranking.images_ask(set)) : std::nullopt;
  SplitOutcomes outcomes =
      measure_split(ranking.texts_ask(set), k, stop, tile_share(preparer_.processes()),
                    images_ask ? &*images_ask : nullptr);
  working.reset();
  ModelScores scores;
  scores.tables.push_back({{}, std::move(outcomes.table)});
  write_percentages(scores.tables.back(), scores.json);
  for (const auto& [task, count] : outcomes.tasks) {
    scores.json["retrieval"][task]["gallery"] = count.gallery;
    scores.json["retrieval"][task]["ties"] = count.ties;
  }
  if (model != nullptr) add_zero_shot(*model, ranking, scores);
  if (model != nullptr) add_real_images(*model, split, set, ranking, scores);
  scores.json["space"] = space_json(ranking.normalized(set));
  if (OrderedJson hysac = ranking.json(set); !hysac.is_null()) scores.json["hysac"] = hysac;
  const std::int64_t resamples = options_.bootstrap;
  working.emplace(log_, cat("intervals of ", split.name));
  if (resamples > 0) scores.json["intervals"] = intervals_json(scores.tables, resamples, stop);
  return scores;
}

OrderedJson Evaluator::drift(const EvaluationRequest& request, const EmbeddingSet& tuned,
                             ClipModel& model) {
  const EmbeddingSet reference = reference_split(request);
  OrderedJson json;
  for (const bool is_text : {true, false}) {
    const auto [l2, relative] = weight_distance(source_, model, is_text ? "text" : "vision");
    json[is_text ? "text" : "vision"] = {
        {"weight_l2", l2},
        {"weight_rel", relative},
        {"embedding_cos",
         is_text ? mean_cosine(tuned.safe_text, reference.safe_text)
                 : mean_cosine(distinct_safe_pictures(tuned), distinct_safe_pictures(reference))}};
  }
  if (request.with_zero_shot && !options_.prompts.empty()) {
    json["text"]["hidden_states"] = change_of_states(model);
  }
  return json;
}

OrderedJson Evaluator::describe_split(const EvaluationRequest& request) {
  const SplitData& split = split_data(request);
  return {{"split", split.name},
          {"n", split.good_rows.size()},
          {"weights", source_.hash()},
          {"manifest", request.source.file.string()},
          {"content", content_of(split)},
          {"preprocessing", to_string(source_.preprocessing)},
          {"tie_rule", "ties rank by index, safe items first"},
          {"bootstrap", options_.bootstrap},
          {"before", nullptr},
          {"after", nullptr}};
}

std::optional<ModelScores> Evaluator::score_reference(const EvaluationRequest& request) {
  const SplitData& split = split_data(request);
  if (!split.reference.safe_text.defined()) return std::nullopt;
  return measure(reference_split(request), {},
                 request.with_zero_shot ? &preparer_.reference() : nullptr, split);
}

ModelScores Evaluator::score(const EvaluationRequest& request, ClipModel& model,
                             const EmbeddingSet& set) {
  const SplitData& split = split_data(request);
  const RowRanking ranking = ranking_of(request, model, set);
  ModelScores scores = measure(set, ranking, request.with_zero_shot ? &model : nullptr, split);
  const bool has_reference = split.reference.safe_text.defined();
  const EmbeddingSet normalized = ranking.normalized(set);
  scores.json["drift"] = has_reference ? drift(request, normalized, model) : OrderedJson(nullptr);
  if (has_reference) add_kept_space(reference_split(request), normalized, scores.json["space"]);
  return scores;
}

OrderedJson Evaluator::evaluate(const EvaluationRequest& request, ClipModel* tuned,
                                std::optional<ModelScores>& after) {
  OrderedJson document = describe_split(request);
  const std::optional<ModelScores> before = score_reference(request);
  if (before) document["before"] = before->json;
  if (tuned == nullptr) return document;
  after = score(request, *tuned, embed_split(request, *tuned));
  document["after"] = after->json;
  const std::int64_t resamples = options_.bootstrap;
  if (before && resamples > 0) {
    const Progress working(log_, cat("comparing before and after, ", request.source.name));
    document["change"] = differences_json(before->tables, after->tables, resamples, own_stop());
  }
  return document;
}

}  // namespace saferclip
