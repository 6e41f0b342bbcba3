// Rules between a configuration and its data that a run would find broken after hours, or never:
// nothing to train, a warm-up without an end, a best metric that no validation gives.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "saferclip/config/run_config.h"
#include "saferclip/data/manifest.h"

namespace saferclip {

struct KeyProblem {
  std::string key;
  std::string text;
};

// What the configuration and its lists show before anything is prepared; a list that is null was
// not read. Rows may turn out to be fewer, never more.
std::vector<KeyProblem> plan_problems(const RunConfig& config, const Manifest* train,
                                      const Manifest* validation);

// Whether all that a training reads is there, but for the model, which says so itself: a list that
// is missing must not be found so after hours of preparing another. Throws DataError with all
// problems.
void require_inputs(const RunConfig& config);

// Reads the lists as far as a rule needs them. Throws ConfigError with all problems.
void require_sound_plan(const RunConfig& config);

// The same for the number of steps, once it is known.
void require_steps(const RunConfig& config, std::int64_t total);

}  // namespace saferclip
