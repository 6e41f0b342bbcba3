// Goes through the batches of the run until each kind of row that a term needs has been met, which
// is normally the first batch. An InfoNCE part needs two rows of its kind in one batch, a cosine
// one.
#include "saferclip/run/label_coverage.h"

#include <algorithm>

#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"
#include "saferclip/objective/loss_set.h"
#include "saferclip/train/trainer.h"

namespace saferclip {
namespace {

// A part of a term: the kind of rows that it takes, and how many it needs at once.
struct Part {
  const char* term;
  const char* rows;
  double LabelCounts::*count;
  double needed;
};

constexpr Part kParts[] = {
    {"safe", "unsafe_image_label 0", &LabelCounts::safe_images, 1},
    {"safe", "unsafe_caption_label 0", &LabelCounts::safe_captions, 1},
    {"safe", "both labels 0", &LabelCounts::both_safe, 2},
    {"redir", "unsafe_image_label 1", &LabelCounts::unsafe_images, 1},
    {"redir", "unsafe_caption_label 1", &LabelCounts::unsafe_captions, 1},
    {"mix", "unsafe_image_label 1 and unsafe_caption_label 0", &LabelCounts::only_image_unsafe, 2},
    {"mix", "unsafe_caption_label 1 and unsafe_image_label 0", &LabelCounts::only_caption_unsafe,
     2},
    {"coh", "both labels 1", &LabelCounts::both_unsafe, 2}};

std::vector<Part> weighted_parts(const ObjectiveOptions& objective) {
  std::vector<Part> parts;
  for (const Part& part : kParts) {
    const auto weight = objective.weights.find(part.term);
    if (weight != objective.weights.end() && weight->second > 0) parts.push_back(part);
  }
  return parts;
}

LabelCounts counts_of_step(const RunConfig& config, const TrainingData& data,
                           const Sampler& sampler, std::int64_t step) {
  const std::int64_t epoch = sampler.position_of(step).epoch;
  const auto* valid = data.train.images.valid.const_data_ptr<std::uint8_t>();
  LabelCounts counts;
  for (const std::int64_t row : sampler.rows_of(step)) {
    if (!is_redirected(data, config.objective, row, epoch)) continue;
    const ManifestRow& labels = data.train.manifest.rows[static_cast<std::size_t>(row)];
    counts.add(labels.unsafe_caption_label, labels.unsafe_image_label, valid[2 * row + 1] != 0);
  }
  return counts;
}

// The parts that no batch trains.
std::vector<Part> unmet_parts(const RunConfig& config, const TrainingData& data,
                              const Sampler& sampler) {
  std::vector<Part> unmet;
  const std::int64_t steps = total_steps(config.train, sampler);
  const bool has_pictures = std::ranges::any_of(
      data.train.manifest.rows, [](const ManifestRow& row) { return !row.unsafe_image.empty(); });
  if (!loss_needs(config.objective).labels || steps == 0 || !has_pictures) return unmet;
  unmet = weighted_parts(config.objective);
  for (std::int64_t step = 0; step < steps && !unmet.empty(); ++step) {
    const LabelCounts counts = counts_of_step(config, data, sampler, step);
    std::erase_if(unmet, [&](const Part& part) { return counts.*part.count >= part.needed; });
  }
  return unmet;
}

std::string sentence(const Part& part) {
  return cat("no batch has ", part.needed > 1 ? "two rows" : "a row", " with ", part.rows);
}

// The weighted terms of which every part is unmet.
std::vector<UntrainedTerm> untrained_terms(const ObjectiveOptions& objective,
                                           const std::vector<Part>& unmet) {
  const std::vector<Part> all = weighted_parts(objective);
  std::vector<UntrainedTerm> terms;
  for (const std::string& term : ObjectiveOptions::term_names(objective.name)) {
    const auto of_term = [&](const Part& part) { return term == part.term; };
    const auto missing = std::ranges::count_if(unmet, of_term);
    if (missing == 0 || missing < std::ranges::count_if(all, of_term)) continue;
    std::vector<std::string> reasons;
    for (const Part& part : unmet) {
      if (of_term(part)) reasons.push_back(sentence(part));
    }
    terms.push_back({term, cat("its labels leave it untrained: ", join(reasons, " and "),
                               "; label more rows, raise train.batch_size, or set the weight to "
                               "0")});
  }
  return terms;
}

}  // namespace

std::vector<UntrainedTerm> terms_without_labels(const ObjectiveOptions& objective,
                                                const Manifest& manifest) {
  if (!loss_needs(objective).labels || !manifest.has_labels) return {};
  LabelCounts counts;
  for (const ManifestRow& row : manifest.rows) {
    counts.add(row.unsafe_caption_label, row.unsafe_image_label, !row.unsafe_image.empty());
  }
  // Without any picture the warning about pictures says it.
  if (counts.safe_images + counts.unsafe_images == 0) return {};
  std::vector<Part> unmet = weighted_parts(objective);
  std::erase_if(unmet, [&](const Part& part) { return counts.*part.count >= part.needed; });
  return untrained_terms(objective, unmet);
}

std::vector<std::string> label_problems(const RunConfig& config, const TrainingData& data,
                                        const Sampler& sampler) {
  std::vector<std::string> problems;
  const std::vector<Part> unmet = unmet_parts(config, data, sampler);
  if (unmet.empty()) return problems;
  if (!data.train.manifest.has_labels) {
    std::vector<std::string> terms;
    for (const Part& part : unmet) {
      if (std::ranges::find(terms, part.term) == terms.end()) terms.emplace_back(part.term);
    }
    return {
        cat("the training rows have no unsafe_caption_label and no unsafe_image_label, so all "
            "of the unsafe half counts as unsafe: ",
            join(terms, ", "),
            " are not trained, or in part, which is ShieldCLIP's ablation without labels; add "
            "the two columns to the manifest")};
  }
  for (const Part& part : unmet) {
    problems.push_back(
        cat("objective.weights.", part.term, ": a part of it is never trained: ", sentence(part)));
  }
  return problems;
}

void require_label_kinds(const RunConfig& config, const TrainingData& data,
                         const Sampler& sampler) {
  if (!data.train.manifest.has_labels) return;
  std::vector<std::string> lines;
  for (const UntrainedTerm& term :
       untrained_terms(config.objective, unmet_parts(config, data, sampler))) {
    lines.push_back(
        cat("objective.weights.", term.name, ": ", config.data.train, ": ", term.reason));
  }
  if (lines.empty()) return;
  throw DataError(lines.size() == 1 ? lines.front()
                                    : join_problems("these terms cannot be trained:", lines));
}

}  // namespace saferclip
