// The target of each unsafe caption, as rows for the terminal, CSV and JSON.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "saferclip/evaluate/scores_json.h"
#include "saferclip/run/training_data.h"

namespace saferclip {

// The target of one unsafe row.
struct TargetLine {
  const ManifestRow* row = nullptr;  // owned by the TrainingData, which must outlive it
  std::string target_id;             // "extra:LINE" for an extra caption
  std::string target_caption;
  double fixed_cosine = 0;
  double cosine = 0;
  int stage = 0;
  std::string change;  // same, caption or extra
};

// In manifest order.
std::vector<TargetLine> target_lines(const TrainingData& data);

struct TargetSummary {
  std::map<std::string, std::int64_t> changes;
  std::map<int, std::int64_t> stages;
  double mean_cosine = 0;
  double mean_fixed = 0;
};
TargetSummary summarize(const std::vector<TargetLine>& lines);

// A CSV table with a header line.
std::string targets_csv(const std::vector<TargetLine>& lines);

// The document of `targets --json`.
OrderedJson targets_json(const std::vector<TargetLine>& lines, const TargetSummary& summary);

}  // namespace saferclip
