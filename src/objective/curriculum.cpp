// Stages of the curriculum, from the cosines in the cache. The quantile sort is stable, so equal
// cosines are ranked by row and the stages of a data set do not depend on the machine. A row's
// stage is the number of cuts that lie at or before its rank.
#include "saferclip/objective/curriculum.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace saferclip {

std::vector<int> curriculum_stages(const at::Tensor& cosine, const CurriculumOptions& options) {
  const auto rows = static_cast<std::size_t>(cosine.size(0));
  std::vector<int> stages(rows, 0);
  if (!options.enabled) return stages;
  const at::Tensor values = cosine.to(at::kFloat).contiguous();
  const auto* value = values.const_data_ptr<float>();
  if (!options.thresholds.empty()) {
    for (std::size_t i = 0; i < rows; ++i) {
      for (const double threshold : options.thresholds) {
        stages[i] += static_cast<double>(value[i]) < threshold ? 1 : 0;
      }
    }
    return stages;
  }
  std::vector<std::size_t> order(rows);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return value[a] > value[b]; });
  for (const double quantile : options.quantiles) {
    const auto cut = static_cast<std::size_t>(std::floor(quantile * static_cast<double>(rows)));
    for (std::size_t rank = cut; rank < rows; ++rank) ++stages[order[rank]];
  }
  return stages;
}

bool is_admitted(int stage, std::int64_t epoch, const CurriculumOptions& options) {
  if (stage < 0) return false;
  if (!options.enabled) return true;
  return epoch >= options.start_epochs[static_cast<std::size_t>(stage)];
}

}  // namespace saferclip
