// Rules between a configuration and its data that would otherwise fail hours into a run, or pass
// unnoticed: nothing to train, a warm-up that never ends, a best metric that no validation gives.
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

// Problems visible from the configuration and its manifests before anything is prepared; a null
// manifest was not read. The number of rows may still shrink, never grow.
std::vector<KeyProblem> plan_problems(const RunConfig& config, const Manifest* train,
                                      const Manifest* validation);

// Checks that every input of a training exists, so a missing manifest is not noticed after hours of
// preparing another. The model is excluded; opening it reports its own problems. Throws DataError
// with all problems.
void require_inputs(const RunConfig& config);

// Reads those manifests that a rule needs. Throws ConfigError with all problems.
void require_sound_plan(const RunConfig& config);

// The same check for the number of steps, once it is known.
void require_steps(const RunConfig& config, std::int64_t total);

}  // namespace saferclip
