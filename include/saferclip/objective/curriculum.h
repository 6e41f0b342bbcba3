// Curriculum: rows are ranked from easy to hard by their cosine and admitted in stages.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "saferclip/objective/objective_options.h"

namespace saferclip {

// The stage of each row, from 0. By quantiles: rows sorted by (cosine descending, row ascending)
// are cut at floor(q · N) for each quantile q. By thresholds: the number of thresholds above the
// row's cosine. All rows are in stage 0 if the curriculum is off. `cosine`: fp32 [N].
std::vector<int> curriculum_stages(const at::Tensor& cosine, const CurriculumOptions& options);

// Whether rows of a stage are trained in an epoch (from 0). A negative stage never is.
bool is_admitted(int stage, std::int64_t epoch, const CurriculumOptions& options);

}  // namespace saferclip
