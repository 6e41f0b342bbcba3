// Measures a configuration's reference, or a run before and after training, on any number of
// splits.
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
  std::vector<std::string> overrides;  // applied to the configuration
  ComputeOptions compute;
  std::string checkpoint = "latest";  // for a run: latest, best or a step
  std::string weights;                // measure these as "after"; empty: the run's own
  std::string against;                // another run: paired differences on the same rows
  std::vector<std::string> splits;    // empty: validation, or train if there is none
  std::vector<double> strengths;      // also measure W0 + s (W - W0)
};

// One document per split, in order; `show` receives each as soon as it is done. A run's documents
// are also kept in its folder. Several processes share the work; the first shows and keeps. Throws
// ConfigError, DataError, WeightsError, Interrupted.
std::vector<OrderedJson> evaluate_run(const EvaluateRunRequest& run_request, Logger& log,
                                      const StopFlag& stop,
                                      const std::function<void(const OrderedJson&)>& show);

}  // namespace saferclip
