// Measures a configuration's reference, or a run before and after, on any number of splits.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "saferclip/core/log.h"
#include "saferclip/core/stop.h"
#include "saferclip/evaluate/scores_json.h"
#include "saferclip/run/session.h"

namespace saferclip {

struct EvaluateRunRequest {
  std::string file;                    // configuration, run folder or checkpoint
  std::vector<std::string> overrides;  // of the configuration
  ComputeOptions compute;
  std::string checkpoint = "latest";  // of a run: latest, best or a step
  std::string weights;                // measure these as "after"; empty: the run's own
  std::string against;                // another run: paired differences on the same rows
  std::vector<std::string> splits;    // empty: validation, or train without one
  std::vector<double> strengths;      // also measure W0 + s (W - W0)
};

// One document a split, in order; `show` gets each as soon as it is done. A run keeps its documents
// in its folder. Throws ConfigError, DataError, WeightsError, Interrupted.
std::vector<OrderedJson> evaluate_run(const EvaluateRunRequest& run_request, Logger& log,
                                      const StopFlag& stop,
                                      const std::function<void(const OrderedJson&)>& show);

}  // namespace saferclip
