// Validation during training. The reference's rows and scores are made once, before training takes
// the memory; each validation then embeds only the tuned model's rows. The best value is one
// number, higher is better, so the trainer compares without knowing the metric; the table of
// figures says which metrics are better lower.
#include "saferclip/evaluate/validation.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <utility>

#include "saferclip/core/error.h"
#include "saferclip/core/hash.h"
#include "saferclip/core/text_format.h"
#include "saferclip/data/batch.h"
#include "saferclip/eval/figures.h"
#include "saferclip/objective/loss_set.h"
#include "saferclip/prepare/prepare.h"
#include "saferclip/prepare/reference_scale.h"

namespace saferclip {
namespace {

constexpr std::size_t kFewRows = 20;

// One line with the most important figures.
std::string summary_of(const OrderedJson& after) {
  std::vector<std::string> parts;
  for (const char* id : {"loss.total", "retrieval.text_to_image.r@1", "unsafe_top1.text",
                         "unsafe_top1.image", "safeground.gs"}) {
    const auto value = number_at(after, id);
    if (!value) continue;
    const Figure figure = figure_at(id);
    parts.push_back(cat(figure.label, " ", figure_with_unit(figure, value)));
  }
  return "validation: " + join(parts, "; ");
}

}  // namespace

std::optional<double> best_value(const OrderedJson& after, const std::string& metric) {
  static const std::map<std::string, std::vector<const char*>> kSums{
      {"auto", {kTextToImage, kImageToText, kUnsafeTextUnion, kUnsafeImageUnion}},
      {"safe_clip",
       {kTextToImage, kImageToText, kSafeTextAmongUnsafe, kUnsafeImageAmongSafe,
        kUnsafeTextAmongSafe, kSafeImageAmongUnsafe}}};
  const auto tasks = kSums.find(metric);
  if (tasks == kSums.end()) {
    const std::optional<double> number = number_at(after, metric);
    const bool is_lower = figure_at(metric).better == Better::kLower;
    return number && is_lower ? std::optional(-*number) : number;
  }
  double sum = 0;
  for (const char* task : tasks->second) {
    sum += number_at(after, cat("retrieval.", task, ".r@1")).value_or(0);
  }
  return sum;
}

Validator::Validator(ValidationSetup setup, Preparer& preparer, const SplitData& pool, Logger& log)
    : setup_(std::move(setup)),
      preparer_(preparer),
      pool_(pool),
      evaluator_(setup_.evaluate, setup_.source, preparer, log),
      request_{setup_.split, setup_.evaluate.zero_shot_during_training} {}

std::optional<MeanLosses> Validator::losses(const EmbeddingSet& tuned, const ClipModel& model) {
  const ObjectiveOptions& objective = setup_.objective;
  const SplitData& split = evaluator_.split_data(request_);
  LossConstants constants;
  if (loss_needs(objective).reference) {
    if (!tuned.unsafe_text.defined() || !split.reference.safe_text.defined()) return std::nullopt;
    constants.reference = evaluator_.reference_split(request_);
    const std::vector<std::int64_t>& rows = split.good_rows;
    const TargetRows targets =
        gather_targets(targets_, split.reference, pool_.reference, rows, HostMemory::kPageable);
    constants.target_text = targets.text;
    constants.target_image = targets.image;
    at::Tensor has_image = at::empty({static_cast<std::int64_t>(rows.size())}, at::kFloat);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      has_image.mutable_data_ptr<float>()[i] = tuned.has_unsafe_image[i] ? 1.0F : 0.0F;
    }
    constants.has_unsafe_image = has_image;
  }
  LogitScales scales;
  if (uses_model_scale(objective)) {
    scales.model_logit_scale = model.logit_scale.to(at::kCPU);
    if (model.logit_bias.defined()) scales.model_logit_bias = model.logit_bias.to(at::kCPU);
  } else {
    scales.reference_scale = infonce_scale(objective, setup_.source);
    scales.reference_bias = reference_logit_bias(objective, setup_.source);
  }
  const LossInputs inputs = make_loss_inputs(objective, constants, tuned, scales);
  return measure_losses(objective, inputs, setup_.batch_size);
}

void Validator::prepare() {
  const ObjectiveOptions& objective = setup_.objective;
  const SplitData& split = evaluator_.split_data(request_);
  if (loss_needs(objective).targets && split.reference.unsafe_text.defined()) {
    targets_ = preparer_.targets(split, pool_, objective.targets);
  }
}

void Validator::score_reference() {
  if (const auto scores = evaluator_.score_reference(request_)) before_ = scores->json;
}

std::string Validator::measure() {
  const SplitData& split = evaluator_.split_data(request_);
  const std::string& metric = setup_.best_metric;
  Sha256 hash;
  hash.add(split.images.content).add(split.tokens.key).add(metric);
  for (const std::int64_t row : split.good_rows) hash.add(row);
  if (metric.starts_with("zero_shot")) {
    for (const ZeroShotOptions& set : setup_.evaluate.zero_shot) {
      hash.add(set.name).add(set.images).add(set.classes);
      for (const std::string& text : set.templates) hash.add(text);
    }
  }
  return hash.hex();
}

std::string Validator::chance_problem() {
  if (!evaluator_.split_data(request_).reference.safe_text.defined()) return "";
  const EmbeddingSet set = evaluator_.reference_split(request_);
  EmbeddingSet safe;
  safe.safe_text = set.safe_text;
  safe.safe_image = set.safe_image;
  safe.safe_picture = set.safe_picture;
  safe.gallery = set.gallery;
  safe.has_unsafe_image.assign(set.has_unsafe_image.size(), false);
  // By chance each gallery yields one hit, or for texts as many as a picture has captions. Up to
  // three standard deviations above that is still no sign of knowledge.
  const auto galleries = std::max<double>(
      1, static_cast<double>(std::set(set.gallery.begin(), set.gallery.end()).size()));
  const double by_chance = galleries + 3 * std::sqrt(galleries);
  const auto outcomes =
      run_retrieval(safe, evaluator_.own_stop(), tile_share(preparer_.processes()));
  for (const char* task : {kTextToImage, kImageToText}) {
    const std::vector<QueryOutcome>& queries = outcomes.at(task).queries;
    if (queries.size() < kFewRows) return "";
    const auto hits = std::count_if(queries.begin(), queries.end(),
                                    [](const QueryOutcome& query) { return query.rank == 1; });
    const double captions = std::max(
        1.0, static_cast<double>(queries.size()) / static_cast<double>(outcomes.at(task).items));
    if (static_cast<double>(hits) > captions * by_chance) return "";
  }
  return cat(
      "the base model matches the images and captions of the ", set.safe_text.size(0),
      " validation rows no better than chance (text-to-image and image-to-text R@1): check that ",
      setup_.source.path.string(), " is the intended model, with its own tokenizer and ",
      "activation, and that captions and images in ", request_.source.file.string(),
      " belong together");
}

ValidationScores Validator::validate(ClipModel& model) {
  ValidationScores result;
  OrderedJson& document = result.document;
  document = evaluator_.describe_split(request_);
  document["before"] = before_;
  const EmbeddingSet set = evaluator_.embed_split(request_, model);
  OrderedJson after = evaluator_.score(request_, model, set).json;
  if (const auto loss = losses(set, model)) {
    result.loss = loss->total;
    after["loss"] = {{"total", loss->total}, {"terms", OrderedJson::object()}};
    for (const auto& [name, value] : loss->terms) after["loss"]["terms"][name] = value;
  }
  document["after"] = after;
  const std::optional<double> best = best_value(after, setup_.best_metric);
  if (!best) {
    throw ConfigError(
        cat("checkpoint.best_metric: the evaluation has no metric \"", setup_.best_metric, "\""));
  }
  result.best_value = *best;
  result.summary = summary_of(after);
  return result;
}

}  // namespace saferclip
