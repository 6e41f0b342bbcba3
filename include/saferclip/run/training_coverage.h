// Which terms and rows of an objective a run trains, and which it never will.
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
  std::int64_t rows_never_admitted = 0;             // their curriculum stage starts after the end
  std::vector<std::string> terms_without_pictures;  // weighted terms whose inputs no row has
  std::vector<std::string> terms_without_tower;     // … that only the frozen tower could lower
  bool has_no_neighbours = false;                   // … for terms that predict jointly with them
  std::int64_t steps = 0;                           // of the whole run
  std::vector<std::string> label_problems;          // of objective shield_clip, as sentences
};

TrainingCoverage training_coverage(const RunConfig& config, const TrainingData& data,
                                   const Sampler& sampler);

// A sentence if the objective asks for no unsafe half; else empty.
std::string safe_pairs_alone(const ObjectiveOptions& objective);

// One sentence per finding; empty if everything trains.
std::vector<std::string> coverage_problems(const TrainingCoverage& coverage,
                                           const RunConfig& config);

}  // namespace saferclip
