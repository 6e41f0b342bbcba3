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
constexpr std::int64_t kBuckets = 100;  // of cosines: each is 0.02 wide

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

// `limits` are the upper ends of the buckets, from the first to the last that holds a value.
OrderedJson cosine_histogram(const at::Tensor& cosines) {
  const at::Tensor values = cosines.to(at::kCPU, at::kDouble).contiguous();
  std::vector<std::int64_t> counts(kBuckets);
  double least = 1, most = -1, sum = 0, squares = 0;
  std::int64_t number = 0;
  for (std::int64_t i = 0; i < values.numel(); ++i) {
    const double value = values.const_data_ptr<double>()[i];
    if (!std::isfinite(value)) continue;
    const auto bucket = static_cast<std::int64_t>(std::floor((value + 1) * (kBuckets / 2)));
    ++counts[static_cast<std::size_t>(std::clamp<std::int64_t>(bucket, 0, kBuckets - 1))];
    least = std::min(least, value);
    most = std::max(most, value);
    sum += value;
    squares += value * value;
    ++number;
  }
  OrderedJson limits = OrderedJson::array(), buckets = OrderedJson::array();
  std::int64_t seen = 0;
  for (std::int64_t i = 0; i < kBuckets && seen < number; ++i) {
    const std::int64_t count = counts[static_cast<std::size_t>(i)];
    seen += count;
    if (seen == 0) continue;
    limits.push_back(static_cast<double>(i + 1 - kBuckets / 2) / (kBuckets / 2));
    buckets.push_back(count);
  }
  return {{"num", number},          {"min", least},     {"max", most},      {"sum", sum},
          {"sum_squares", squares}, {"limits", limits}, {"counts", buckets}};
}

// Of each unsafe row's tuned embedding to its nearest-safe target.
OrderedJson target_histograms(const EmbeddingSet& tuned, const TargetRows& targets) {
  const auto cosines = [](const at::Tensor& unsafe, const at::Tensor& safe) {
    return at::cosine_similarity(unsafe.to(at::kCPU, at::kFloat), safe, 1);
  };
  OrderedJson histograms = {{"text", cosine_histogram(cosines(tuned.unsafe_text, targets.text))}};
  std::vector<std::int64_t> shown;
  for (std::size_t i = 0; i < tuned.has_unsafe_image.size(); ++i) {
    if (tuned.has_unsafe_image[i]) shown.push_back(static_cast<std::int64_t>(i));
  }
  if (!shown.empty() && tuned.unsafe_image.defined()) {
    const at::Tensor all = cosines(tuned.unsafe_image, targets.image);
    histograms["image"] = cosine_histogram(all.index_select(0, at::tensor(shown, at::kLong)));
  }
  return {{"target_cosine", histograms}};
}

at::Tensor unsafe_image_flags(const EmbeddingSet& set) {
  const auto count = static_cast<std::int64_t>(set.has_unsafe_image.size());
  at::Tensor flags = at::empty({count}, at::kFloat);
  for (std::int64_t i = 0; i < count; ++i) {
    flags.mutable_data_ptr<float>()[i] =
        set.has_unsafe_image[static_cast<std::size_t>(i)] ? 1.0F : 0.0F;
  }
  return flags;
}

}  // namespace

namespace {

// What is kept and what is redirected, as a mean of percentages. Whether an unsafe query finds its
// own partner does not count, because training may send it to another safe item.
double safe_first_and_recall(const OrderedJson& after) {
  double sum = 0, count = 0;
  const auto add = [&](const std::string& id, const auto& share) {
    if (const auto number = number_at(after, id)) sum += share(*number), ++count;
  };
  for (const char* task : {kTextToImage, kImageToText}) {
    add(cat("retrieval.", task, ".r@1"), [](double recall) { return recall; });
  }
  for (const char* kind : {"text", "image"}) {
    add(cat("unsafe_top1.", kind), [](double unsafe) { return 100 - unsafe; });
  }
  return count == 0 ? 0 : sum / count;
}

// Safe-CLIP's own choice (arXiv 2311.16254).
double sum_of_recalls(const OrderedJson& after) {
  double sum = 0;
  for (const char* task : {kTextToImage, kImageToText, kSafeTextAmongUnsafe, kUnsafeImageAmongSafe,
                           kUnsafeTextAmongSafe, kSafeImageAmongUnsafe}) {
    sum += number_at(after, cat("retrieval.", task, ".r@1")).value_or(0);
  }
  return sum;
}

}  // namespace

std::optional<double> best_value(const OrderedJson& after, const std::string& metric) {
  if (metric == "auto") return safe_first_and_recall(after);
  if (metric == "safe_clip") return sum_of_recalls(after);
  const std::optional<double> number = number_at(after, metric);
  const bool is_lower = figure_at(metric).better == Better::kLower;
  return number && is_lower ? std::optional(-*number) : number;
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
  const RowNeeds needs = loss_needs(objective);
  if (needs.unsafe && !tuned.unsafe_text.defined()) return std::nullopt;
  if (needs.reference) {
    if (!split.reference.safe_text.defined()) return std::nullopt;
    constants.reference = evaluator_.reference_split(request_);
    const std::vector<std::int64_t>& rows = split.good_rows;
    const TargetRows targets =
        gather_targets(targets_, split.reference, pool_.reference, rows, HostMemory::kPageable);
    constants.target_text = targets.text;
    constants.target_image = targets.image;
    if (loss_needs(objective).labels) {
      RowLabels labels = gather_labels(split.manifest, rows, HostMemory::kPageable);
      constants.unsafe_caption_label = std::move(labels.caption);
      constants.unsafe_image_label = std::move(labels.image);
    }
  }
  if (needs.unsafe) constants.has_unsafe_image = unsafe_image_flags(tuned);
  LogitScales scales;
  scales.lorentz = model.lorentz;
  LorentzScalars::for_each(scales.lorentz, [](const char* /*name*/, at::Tensor& value) {
    if (value.defined()) value = value.to(at::kCPU);
  });
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
  if (uses_lorentz(setup_.objective)) {
    const EvaluateOptions& options = setup_.evaluate;
    hash.add(to_string(options.score.value_or(ScoreKind::kLorentz)))
        .add(to_string(options.traversal));
  }
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

EmbeddingSet Validator::reference_rows() {
  if (!split().reference.safe_text.defined()) return {};
  return evaluator_.reference_split(request_);
}

ValidationScores Validator::validate(ClipModel& model) {
  ValidationScores result;
  OrderedJson& document = result.document;
  document = evaluator_.describe_split(request_);
  document["before"] = before_;
  result.tuned = evaluator_.embed_split(request_, model);
  const EmbeddingSet& set = result.tuned;
  OrderedJson after = evaluator_.score(request_, model, set).json;
  if (const auto loss = losses(set, model)) {
    result.loss = loss->total;
    after["loss"] = {{"total", loss->total}, {"terms", OrderedJson::object()}};
    for (const auto& [name, value] : loss->terms) after["loss"]["terms"][name] = value;
  }
  document["after"] = after;
  const SplitData& split = evaluator_.split_data(request_);
  if (targets_.index.defined() && set.unsafe_text.defined()) {
    document["histograms"] =
        target_histograms(set, gather_targets(targets_, split.reference, pool_.reference,
                                              split.good_rows, HostMemory::kPageable));
  }
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
