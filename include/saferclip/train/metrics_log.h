// metrics.jsonl: one JSON object a line, every step once, also after kills and resumptions.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "saferclip/core/atomic_files.h"

namespace saferclip {

// Numbers of one training step, as they stand in the log. Terms are raw, unweighted.
struct StepLine {
  std::int64_t step = 0;   // from 1
  std::int64_t epoch = 0;  // from 0
  double lr = 0;
  double loss = 0;
  double grad_norm = 0;
  double quadruplets_per_s = 0;
  std::vector<std::pair<std::string, double>> terms;
};

class MetricsLog {
 public:
  // Opens the log of a run that goes on after `step`: later lines, and a line that a crash cut, go;
  // without `is_validated` also the evaluation of that step, which is about to be made.
  // Like all below, throws Error when the line cannot be written.
  MetricsLog(const std::filesystem::path& file, std::int64_t step, bool is_validated = true);

  void write(const StepLine& line);
  // `body` is a JSON object; "kind": "evaluation" and the step are put in front.
  void write_evaluation(std::int64_t step, std::int64_t epoch, const std::string& body);
  // Flushes the lines so far to the disk; another thread may write meanwhile.
  void sync();

 private:
  void append(const std::string& line);

  FileWriter out_;
};

}  // namespace saferclip
