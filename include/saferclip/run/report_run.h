// Gathers what the report page shows of a run from its folder, caches and weights.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "saferclip/core/log.h"
#include "saferclip/core/stop.h"
#include "saferclip/report/report.h"
#include "saferclip/run/run_reference.h"
#include "saferclip/run/session.h"

namespace saferclip {

struct ReportRequest {
  RunReference run;
  std::string checkpoint = "latest";   // latest, best or a step
  std::vector<std::string> overrides;  // of the run's configuration: paths that have moved
  ComputeOptions compute;
  std::vector<std::string> splits;  // empty: those evaluated at this step
  std::int64_t queries = 10;        // unsafe texts, and images, per split in the galleries
};

// Evaluates splits that have no kept evaluation. Throws WeightsError, ConfigError, DataError,
// Interrupted.
ReportContent report_content(const ReportRequest& request, Logger& log, const StopFlag& stop);

}  // namespace saferclip
