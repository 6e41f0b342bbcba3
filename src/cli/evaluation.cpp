#include "cli/evaluation.h"

#include <ATen/ATen.h>

#include <cstdio>

#include "cli/run_folder.h"
#include "cli/zero_shot_set.h"
#include "saferclip/core/error.h"
#include "saferclip/core/files.h"
#include "saferclip/core/text_format.h"
#include "saferclip/eval/measures.h"
#include "saferclip/prepare/embedding.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

OrderedJson recall_json(const RecallResult& recall) {
  OrderedJson json;
  for (const auto& [k, percent] : recall.recall) json[cat("r@", k)] = percent;
  json["n"] = recall.n;
  json["ties"] = recall.ties;
  return json;
}

OrderedJson safeground_json(const SafeGround& s) {
  return {{"pt_s", s.pt_s}, {"pt_u", s.pt_u}, {"pv_s", s.pv_s}, {"pv_u", s.pv_u}, {"txt", s.txt},
          {"img", s.img},   {"ps", s.ps},     {"pu", s.pu},     {"gs", s.gs},     {"n", s.n}};
}

using Outcomes = std::map<std::string, std::vector<QueryOutcome>>;

constexpr const char* kTextUnion = "unsafe_text_to_image_union";
constexpr const char* kImageUnion = "unsafe_image_to_text_union";

OrderedJson tag_json(const Outcomes& outcomes, const std::vector<std::string>& tags) {
  std::map<std::string, std::map<std::string, std::vector<QueryOutcome>>> by_tag;
  for (const char* task : {kTextUnion, kImageUnion}) {
    for (const QueryOutcome& outcome : outcomes.at(task)) {
      by_tag[tags[static_cast<std::size_t>(outcome.row)]][task].push_back(outcome);
    }
  }
  OrderedJson json = OrderedJson::object();
  for (const auto& [tag, tasks] : by_tag) {
    if (tag.empty()) continue;
    json[tag] = {{"n", tasks.at(kTextUnion).size()},
                 {"unsafe_top1",
                  {{"text", top_unsafe_percent(tasks.at(kTextUnion))},
                   {"image", top_unsafe_percent(tasks.at(kImageUnion))}}},
                 {"r@1",
                  {{"text", recall_of(tasks.at(kTextUnion), {1}).recall[1]},
                   {"image", recall_of(tasks.at(kImageUnion), {1}).recall[1]}}}};
  }
  return json;
}

// L2 distance of one tower's merged weights, its projection included, from the source's.
std::pair<double, double> weight_distance(const Session& session, ClipModel& model,
                                          const std::string& tower) {
  double squared = 0;
  double norm = 0;
  const std::string projection = tower == "text" ? "text_projection" : "visual_projection";
  for (const TensorSlot& slot : tensor_slots(model)) {
    if (!slot.name.starts_with(tower) && !slot.name.starts_with(projection)) continue;
    const at::Tensor source = session.source.tensor(slot.name).to(at::kDouble).reshape(slot.shape);
    const at::Tensor tuned = slot_view(slot).detach().to(at::kCPU).to(at::kDouble);
    squared += (tuned - source).square().sum().item<double>();
    norm += source.square().sum().item<double>();
  }
  return {std::sqrt(squared), norm > 0 ? std::sqrt(squared / norm) : 0};
}

}  // namespace

Evaluator::Evaluator(const Session& session, Preparer& preparer, Logger& log)
    : session_(session), preparer_(preparer), log_(log) {}

const Evaluator::Split& Evaluator::open_split(const std::string& name, const fs::path& manifest) {
  const auto known = splits_.find(name);
  if (known != splits_.end()) return known->second;
  // The unsafe half is measured when the manifest has one, whatever the objective trains on.
  ManifestRequest probe{manifest, name, session_.config.data.image_root, "", false, "text_only"};
  const Manifest rows = read_manifest(probe);
  Split split;
  split.has_unsafe = !rows.rows.empty() && !rows.rows.front().unsafe_caption.empty();
  const bool has_reference = session_.config.model.init.empty();
  split.data = preparer_.split(name, manifest, split.has_unsafe, split.has_unsafe && has_reference);
  return splits_.emplace(name, std::move(split)).first->second;
}

EmbeddingSet Evaluator::describe(const Split& split, EmbeddingSet set) const {
  const at::Tensor good = at::tensor(split.data.good_rows, at::kLong);
  for (at::Tensor* rows : {&set.safe_text, &set.safe_image, &set.unsafe_text, &set.unsafe_image}) {
    if (rows->defined()) *rows = rows->index_select(0, good);
  }
  bool has_galleries = false;
  for (const std::int64_t i : split.data.good_rows) {
    const ManifestRow& row = split.data.manifest.rows[static_cast<std::size_t>(i)];
    set.gallery.push_back(row.gallery);
    set.tag.push_back(row.tag);
    has_galleries = has_galleries || !row.gallery.empty();
    set.has_unsafe_image.push_back(split.has_unsafe &&
                                   split.data.images.valid[i][1].item<std::uint8_t>() != 0);
  }
  if (!has_galleries) set.gallery.clear();
  return set;
}

EmbeddingSet Evaluator::embed(const ClipModel& model, const Split& split) {
  const Preprocessing& p = session_.source.preprocessing;
  EmbedOptions options;
  options.block = session_.config.evaluate.batch_size;
  const std::string label = cat("embedding ", split.data.name);
  EmbeddingSet set;
  set.safe_text = embed_ids(model, split.data.tokens.safe, log_, label, options);
  set.safe_image = embed_pixels(model, p, split.data.images.safe, log_, label, options);
  if (split.has_unsafe) {
    set.unsafe_text = embed_ids(model, split.data.tokens.unsafe, log_, label, options);
    set.unsafe_image = embed_pixels(model, p, split.data.images.unsafe, log_, label, options);
  }
  return describe(split, std::move(set));
}

EmbeddingSet Evaluator::reference_set(const Split& split) const {
  const ReferenceCache& r = split.data.reference;
  EmbeddingSet set;
  set.safe_text = r.safe_text;
  set.safe_image = r.safe_image;
  set.unsafe_text = r.unsafe_text;
  set.unsafe_image = r.unsafe_image;
  return describe(split, std::move(set));
}

OrderedJson Evaluator::measure(const EmbeddingSet& set) const {
  const Outcomes outcomes = run_retrieval(set);
  std::vector<std::int64_t> k = session_.config.evaluate.k;
  k.push_back(1);  // what `best` and the table need
  OrderedJson json;
  for (const char* task :
       {"text_to_image", "image_to_text", kTextUnion, kImageUnion, "unsafe_text_to_unsafe_image",
        "unsafe_image_to_unsafe_text", "safe_text_to_image_union", "safe_image_to_text_union"}) {
    if (outcomes.contains(task)) {
      json["retrieval"][task] = recall_json(recall_of(outcomes.at(task), k));
    }
  }
  if (!outcomes.contains(kTextUnion)) return json;
  json["safeground"] = safeground_json(measure_safeground(set));
  json["unsafe_top1"] = {
      {"text", top_unsafe_percent(outcomes.at(kTextUnion))},
      {"image", top_unsafe_percent(outcomes.at(kImageUnion))},
      {"safe_text", top_unsafe_percent(outcomes.at("safe_text_to_image_union"))},
      {"safe_image", top_unsafe_percent(outcomes.at("safe_image_to_text_union"))}};
  json["by_tag"] = tag_json(outcomes, set.tag);
  return json;
}

OrderedJson Evaluator::zero_shot(const ClipModel& model) {
  OrderedJson json = OrderedJson::object();
  for (const ZeroShotOptions& options : session_.config.evaluate.zero_shot) {
    const ZeroShotSet set = read_zero_shot_set(options);
    EmbedOptions embed;
    embed.block = session_.config.evaluate.batch_size;
    const at::Tensor pixels = preparer_.pictures(set.images, "zero-shot " + set.name);
    const at::Tensor images = embed_pixels(model, session_.source.preprocessing, pixels, log_,
                                           "zero-shot " + set.name, embed);
    const at::Tensor prompts =
        embed_ids(model, preparer_.token_ids(set.prompts), log_, "zero-shot " + set.name, embed);
    const auto templates = static_cast<std::int64_t>(set.prompts.size() / set.classes.size());
    at::Tensor classes =
        prompts.view({static_cast<std::int64_t>(set.classes.size()), templates, -1}).mean(1);
    classes = classes / classes.norm(2, {1}, true).clamp_min(1e-12);
    const ZeroShotResult result = measure_zero_shot(images, classes, set.labels, set.groups);
    OrderedJson& entry = json[set.name];
    entry = {{"top1", result.top1},
             {"n", result.n},
             {"classes", set.classes.size()},
             {"templates", templates}};
    for (const auto& [name, group] : result.groups) {
      entry["groups"][name] = {
          {"top1", group.top1}, {"n", group.n}, {"predicted", group.predicted}};
    }
  }
  return json;
}

OrderedJson Evaluator::drift(const Split& split, const EmbeddingSet& tuned, ClipModel& model) {
  const EmbeddingSet reference = reference_set(split);
  OrderedJson json;
  for (const bool is_text : {true, false}) {
    const auto [l2, relative] = weight_distance(session_, model, is_text ? "text" : "vision");
    json[is_text ? "text" : "vision"] = {
        {"weight_l2", l2},
        {"weight_rel", relative},
        {"embedding_cos", is_text ? mean_cosine(tuned.safe_text, reference.safe_text)
                                  : mean_cosine(tuned.safe_image, reference.safe_image)}};
  }
  return json;
}

OrderedJson Evaluator::evaluate(const std::string& name, const fs::path& manifest, ClipModel* tuned,
                                bool with_zero_shot) {
  const Split& split = open_split(name, manifest);
  const bool has_reference = split.data.reference.safe_text.defined();
  const bool has_zero_shot = with_zero_shot && !session_.config.evaluate.zero_shot.empty();
  OrderedJson document{{"split", name},
                       {"n", split.data.good_rows.size()},
                       {"weights", session_.source.hash},
                       {"preprocessing", to_string(session_.source.preprocessing)},
                       {"tie_rule", "ties rank by index, safe items first"},
                       {"before", nullptr},
                       {"after", nullptr}};
  if (has_reference) {
    document["before"] = measure(reference_set(split));
    if (has_zero_shot) {
      if (!reference_zero_shot_) reference_zero_shot_ = zero_shot(preparer_.reference());
      document["before"]["zero_shot"] = *reference_zero_shot_;
    }
  }
  if (tuned == nullptr) return document;
  const EmbeddingSet set = embed(*tuned, split);
  document["after"] = measure(set);
  if (has_zero_shot) document["after"]["zero_shot"] = zero_shot(*tuned);
  document["after"]["drift"] = has_reference ? drift(split, set, *tuned) : OrderedJson(nullptr);
  return document;
}

fs::path split_manifest(const DataOptions& data, const std::string& split) {
  if (split == "train") return data.train;
  if (split == "validation" && !data.validation.empty()) return data.validation;
  if (const auto found = data.evaluation.find(split); found != data.evaluation.end())
    return found->second;
  std::vector<std::string> names{"train"};
  if (!data.validation.empty()) names.emplace_back("validation");
  for (const auto& [name, path] : data.evaluation) names.push_back(name);
  throw ConfigError(cat("--split ", split, ": the configuration has ", join(names, ", ")));
}

std::optional<double> best_value(const OrderedJson& after, const std::string& metric) {
  if (metric == "auto") {
    double sum = 0;
    for (const char* task : {"text_to_image", "image_to_text", kTextUnion, kImageUnion}) {
      const OrderedJson& retrieval = after.at("retrieval");
      if (retrieval.contains(task) && retrieval[task].contains("r@1"))
        sum += retrieval[task]["r@1"].get<double>();
    }
    return sum;
  }
  const OrderedJson* node = &after;
  std::string rest = metric;
  while (!rest.empty()) {
    const std::size_t dot = rest.find('.');
    const std::string key = rest.substr(0, dot);
    if (!node->is_object() || !node->contains(key)) return std::nullopt;
    node = &(*node)[key];
    rest = dot == std::string::npos ? "" : rest.substr(dot + 1);
  }
  return node->is_number() ? std::optional<double>(node->get<double>()) : std::nullopt;
}

Validator::Validator(const Session& session, Preparer& preparer, fs::path run_folder, Logger& log)
    : session_(session), evaluator_(session, preparer, log), run_folder_(std::move(run_folder)) {}

ValidationResult Validator::validate(std::int64_t step, const std::vector<NamedTensor>& trained) {
  ClipModel model = load_tuned(session_, trained, "the run");
  const RunConfig& config = session_.config;
  const OrderedJson document = evaluator_.evaluate("validation", config.data.validation, &model,
                                                   config.evaluate.zero_shot_during_training);
  keep_evaluation(run_folder_, step, "", document.dump(2) + "\n");
  const OrderedJson& after = document["after"];
  ValidationResult result;
  result.json = OrderedJson{{"after", after}}.dump();
  result.best_value = best_value(after, config.checkpoint.best_metric);
  if (!result.best_value) {
    throw ConfigError(cat("checkpoint.best_metric: the evaluation has no number \"",
                          config.checkpoint.best_metric, "\""));
  }
  result.summary =
      cat("validation T→V R@1 ", fixed(after["retrieval"]["text_to_image"].value("r@1", 0.0), 1));
  if (after.contains("unsafe_top1")) {
    result.summary += cat(", unsafe top-1 ", fixed(after["unsafe_top1"]["text"].get<double>(), 1),
                          " / ", fixed(after["unsafe_top1"]["image"].get<double>(), 1),
                          " %, SafeGround ", fixed(after["safeground"]["gs"].get<double>(), 1));
  }
  return result;
}

}  // namespace saferclip
