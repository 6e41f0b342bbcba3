// Finds what a run will never train, without training: weighted terms whose inputs no row has,
// terms that only a frozen tower could lower, and rows whose curriculum stage starts after the last
// epoch. Such a run ends without an error, so `train` and `prepare` warn and the model card says
// it.
#include "saferclip/run/training_coverage.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "saferclip/core/text_format.h"
#include "saferclip/objective/loss_set.h"
#include "saferclip/run/label_coverage.h"
#include "saferclip/run/training_data.h"
#include "saferclip/train/schedule.h"
#include "saferclip/train/trainer.h"

namespace saferclip {
namespace {

std::int64_t count_unsafe_pictures(const SplitData& split) {
  if (!split.images.unsafe.defined()) return 0;
  const auto* valid = split.images.valid.const_data_ptr<std::uint8_t>();
  const std::int64_t width = split.images.valid.size(1);
  return std::count_if(split.good_rows.begin(), split.good_rows.end(),
                       [&](std::int64_t row) { return valid[row * width + 1] != 0; });
}

std::string published_name(ObjectiveName objective) {
  return objective == ObjectiveName::kSafeClip     ? "Safe-CLIP"
         : objective == ObjectiveName::kShieldClip ? "ShieldCLIP"
                                                   : "SaFeR-CLIP";
}

// Rows that are still not redirected in the run's last epoch.
std::int64_t count_never_admitted(const RunConfig& config, const TrainingData& data,
                                  const Sampler& sampler) {
  const std::int64_t steps = total_steps(config.train, sampler);
  if (steps == 0) return 0;
  const std::int64_t last = sampler.position_of(steps - 1).epoch;
  return std::count_if(
      data.train.good_rows.begin(), data.train.good_rows.end(),
      [&](std::int64_t row) { return !is_redirected(data, config.objective, row, last); });
}

// Adam moves a score by about the learning rate a step, whatever the gradient. Empty if that is
// enough for a mask to change.
std::string masks_that_cannot_move(const RunConfig& config, std::int64_t steps) {
  const AdapterOptions& adapter = config.adapter;
  if (adapter.method != AdapterMethod::kMask || steps == 0) return "";
  const double way = adapter.init - adapter.threshold;
  double most = 0;
  for (std::int64_t step = 0; step < steps && most < way; ++step) {
    most += learning_rate(config.schedule, config.optimizer.lr, step, steps);
  }
  if (most >= way) return "";
  std::string text =
      cat("in ", with_commas(steps), " steps a score moves by about ", most,
          ", less than adapter.init - adapter.threshold (", way, "), so no weight is switched off");
  if (config.optimizer.lr == 0) return text + "; optimizer.lr is 0";
  return text + cat("; train at least ",
                    with_commas(static_cast<std::int64_t>(std::ceil(way / config.optimizer.lr))),
                    " steps at this learning rate, or raise optimizer.lr");
}

}  // namespace

std::string safe_pairs_alone(const ObjectiveOptions& objective) {
  if (loss_needs(objective).unsafe) return "";
  return cat("objective ", objective.name,
             " trains on safe pairs alone, so it makes no model safe; to redirect unsafe content, ",
             "add unsafe_caption (and unsafe_image) to the rows and set objective.name: saferclip ",
             "(docs/data.md#the-unsafe-half)");
}

TrainingCoverage training_coverage(const RunConfig& config, const TrainingData& data,
                                   const Sampler& sampler) {
  TrainingCoverage coverage;
  coverage.rows = static_cast<std::int64_t>(data.train.good_rows.size());
  coverage.rows_with_unsafe_picture = count_unsafe_pictures(data.train);
  if (loss_needs(config.objective).targets) {
    coverage.rows_never_admitted = count_never_admitted(config, data, sampler);
  }
  if (coverage.rows_with_unsafe_picture == 0) {
    coverage.terms_without_pictures = terms_with_unsafe_images(config.objective);
  }
  coverage.has_no_neighbours =
      data.neighbours != nullptr &&
      std::ranges::all_of(*data.neighbours, [](const auto& list) { return list.empty(); });
  coverage.steps = total_steps(config.train, sampler);
  coverage.label_problems = label_problems(config, data, sampler);
  if (config.adapter.towers != Towers::kBoth) {
    coverage.terms_without_tower = terms_of_one_tower(
        config.objective, config.adapter.towers == Towers::kText ? Sides::kImage : Sides::kText);
  }
  return coverage;
}

std::vector<std::string> coverage_problems(const TrainingCoverage& coverage,
                                           const RunConfig& config) {
  std::vector<std::string> problems;
  if (const std::string alone = safe_pairs_alone(config.objective); !alone.empty()) {
    problems.push_back(alone);
  }
  if (!coverage.terms_without_pictures.empty()) {
    problems.push_back(
        cat("none of the ", with_commas(coverage.rows),
            " training rows has an unsafe image: ", join(coverage.terms_without_pictures, ", "),
            " are never trained, unsafe images are not redirected, and this is not ",
            published_name(config.objective.name),
            "; add unsafe_image to the manifest, or set data.unsafe_image_template"));
  }
  if (!coverage.terms_without_tower.empty()) {
    problems.push_back(cat("adapter.towers: ", config.adapter.towers, ": ",
                           join(coverage.terms_without_tower, ", "),
                           " are never trained, and the other tower stays unchanged"));
  }
  if (coverage.rows_never_admitted > 0) {
    problems.push_back(cat(with_commas(coverage.rows_never_admitted), " of ",
                           with_commas(coverage.rows),
                           " training rows are never redirected: their stage of the curriculum "
                           "starts after the run's last epoch; raise train.epochs or lower "
                           "objective.curriculum.start_epochs"));
  }
  if (coverage.has_no_neighbours) {
    problems.push_back(
        "no training row has a neighbor, so pres_cet_* predict each row alone, as InfoNCE does; "
        "lower objective.pres_cet.threshold, or take another objective.pres_cet.over");
  }
  if (const std::string still = masks_that_cannot_move(config, coverage.steps); !still.empty()) {
    problems.push_back(still);
  }
  problems.insert(problems.end(), coverage.label_problems.begin(), coverage.label_problems.end());
  return problems;
}

}  // namespace saferclip
