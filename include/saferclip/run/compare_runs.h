// Reads what runs keep of their evaluations, for a comparison.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "saferclip/core/log.h"
#include "saferclip/report/comparison.h"

namespace saferclip {

struct CompareRequest {
  std::vector<std::string> runs;      // run folders or their checkpoints, in the order of columns
  std::string checkpoint = "latest";  // of the runs given as folders: latest, best or a step
  std::string split;                  // empty: the one that all runs were evaluated on
  bool each = false;                  // runs that differ in nothing but the seed stay apart
  bool with_metrics = false;          // read the lines of metrics.jsonl, too
};

// Documents of one split with the same content. Throws WeightsError for a path that is no run,
// DataError for runs without an evaluation or with other data, ConfigError if the split is not
// clear or a run is given twice.
std::vector<ComparedRun> read_compared_runs(const CompareRequest& request, Logger& log);

// Whether a run keeps an evaluation of its latest step on this split, or on any if it is empty.
bool is_evaluated(const std::filesystem::path& run_folder, const std::string& split, Logger& log);

}  // namespace saferclip
