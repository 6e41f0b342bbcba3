// What of an objective and of its rows a run trains, and what it never will.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "saferclip/run/session.h"
#include "saferclip/run/training_data.h"

namespace saferclip {

struct TrainingCoverage {
  std::int64_t rows = 0;
  std::int64_t rows_with_unsafe_picture = 0;
  std::int64_t rows_never_admitted = 0;  // their stage of the curriculum starts after the end
  std::vector<std::string> terms_without_pictures;  // weighted terms that no row has the inputs of
  std::vector<std::string> terms_without_tower;  // … that only a tower left as it is could lower
};

TrainingCoverage training_coverage(const RunConfig& config, const TrainingData& data,
                                   const Sampler& sampler);

// One sentence for each thing that never trains.
std::vector<std::string> coverage_problems(const TrainingCoverage& coverage,
                                           const RunConfig& config);

}  // namespace saferclip
