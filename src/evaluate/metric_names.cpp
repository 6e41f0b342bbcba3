// Names the metrics of a validation by running the measuring code on made-up rows: one per tag, all
// with the same vector. The names thus cannot drift from that code. Losses, drift, space and real
// images need a model or pictures; their names are listed by hand.
#include "saferclip/evaluate/metric_names.h"

#include <ATen/ATen.h>

#include <cmath>
#include <set>

#include "saferclip/evaluate/scores_json.h"
#include "saferclip/evaluate/zero_shot_set.h"
#include "saferclip/objective/loss_set.h"

namespace saferclip {
namespace {

// Identical rows of width 2.
at::Tensor made_up(std::size_t rows) {
  return at::full({static_cast<std::int64_t>(rows), 2}, std::sqrt(0.5));
}

// One row per tag, with an unsafe half if the manifest has one.
EmbeddingSet made_up_set(const Manifest& manifest) {
  std::set<std::string> tags{""};
  bool has_unsafe = false;
  for (const ManifestRow& row : manifest.rows) {
    tags.insert(row.tag);
    has_unsafe = has_unsafe || !row.unsafe_caption.empty();
  }
  EmbeddingSet set;
  set.tag.assign(tags.begin(), tags.end());
  set.safe_text = set.safe_image = made_up(tags.size());
  if (has_unsafe) set.unsafe_text = set.unsafe_image = made_up(tags.size());
  set.has_unsafe_image.assign(tags.size(), has_unsafe);
  return set;
}

void add_sets(const EvaluateOptions& options, bool has_unsafe, OrderedJson& json) {
  for (const ZeroShotOptions& entry : options.zero_shot) {
    const ZeroShotSet set = read_zero_shot_set(entry);
    std::vector<std::int64_t> labels(set.classes.size());
    for (std::size_t i = 0; i < labels.size(); ++i) labels[i] = static_cast<std::int64_t>(i);
    const at::Tensor rows = made_up(labels.size());
    write_percentages({{"zero_shot", set.name}, measure_zero_shot(rows, rows, labels, set.groups)},
                      json);
  }
  for (const RealImagesOptions& entry : options.real_images) {
    if (!has_unsafe) continue;
    for (const char* side : {"text", "image"}) {
      json["real_images"][dotted({entry.name})][side]["unsafe_top1"] = 0.0;
    }
  }
}

void collect(const OrderedJson& json, const std::string& path, std::vector<std::string>& names) {
  if (json.is_number()) names.push_back(path);
  if (!json.is_object()) return;
  for (const auto& [key, value] : json.items()) {
    collect(value, path.empty() ? key : path + "." + key, names);
  }
}

}  // namespace

std::vector<std::string> validation_metrics(const MetricsRequest& request) {
  const EmbeddingSet set = made_up_set(request.validation);
  const bool has_unsafe = set.unsafe_text.defined();
  std::vector<std::int64_t> k = request.evaluate.k;
  k.push_back(1);
  SplitOutcomes outcomes = measure_split(set, k);
  OrderedJson json;
  write_percentages({{}, std::move(outcomes.table)}, json);
  if (request.evaluate.zero_shot_during_training) add_sets(request.evaluate, has_unsafe, json);
  const RowNeeds needs = loss_needs(request.objective);
  if (has_unsafe || !needs.unsafe) {
    json["loss"]["total"] = 0.0;
    for (const auto& [term, weight] : request.objective.weights) {
      const bool is_measured = weight != 0 && !term.starts_with("anchor_");
      if (is_measured) json["loss"]["terms"][term] = 0.0;
    }
  }
  if (request.has_reference) {
    for (const char* tower : {"text", "vision"}) {
      for (const char* name : {"weight_l2", "weight_rel", "embedding_cos"}) {
        json["drift"][tower][name] = 0.0;
      }
    }
  }
  for (const char* rows : {"safe_text", "safe_image", "unsafe_text"}) {
    if (rows == std::string("unsafe_text") && !has_unsafe) continue;
    for (const char* name : {"mean_cosine", "effective_rank"}) json["space"][rows][name] = 0.0;
    if (!request.has_reference || rows == std::string("unsafe_text")) continue;
    for (const char* name : {"spread_ratio", "neighbour_jaccard"}) json["space"][rows][name] = 0.0;
  }
  std::vector<std::string> names;
  collect(json, "", names);
  return names;
}

}  // namespace saferclip
