// Easy rows first: rows are ranked by cosine and admitted in stages.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "saferclip/objective/objective_options.h"

namespace saferclip {

// The stage of each row, from 0: rank by (cosine descending, row ascending), cut at floor(q · n)
// for each quantile q; with thresholds, the number of them that the cosine does not reach. `cosine`
// is fp32 [N]. All rows are in stage 0 when the curriculum is off.
std::vector<int> curriculum_stages(const at::Tensor& cosine, const CurriculumOptions& options);

// Whether rows of a stage are trained in an epoch (from 0).
bool is_admitted(int stage, std::int64_t epoch, const CurriculumOptions& options);

}  // namespace saferclip
