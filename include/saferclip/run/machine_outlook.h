// What this machine can train, and about how fast: predicted memory, and the arithmetic of a step
// at a rate measured here.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "saferclip/run/machine_check.h"

namespace saferclip {

// Rows of the step whose time is estimated, as in the paper.
inline constexpr std::int64_t kOutlookRows = 48;

struct TrainingOutlook {
  std::string model;   // ViT-B/32
  std::string method;  // LoRA, all weights
  // The largest of 1, 4, 16 and 48 rows in a pass that fits into memory; 0: not even one does.
  std::int64_t micro_batch = 0;
  std::optional<double> seconds;  // a step of 48 rows, estimated; none if nothing fits
};

struct MachineOutlook {
  MachineFinding finding;                  // on what the estimates rest
  std::vector<TrainingOutlook> trainings;  // empty if the device cannot be used
};

// Measures products for at most half a second, in the precision that is fast on the device. Never
// throws because of a finding.
MachineOutlook machine_outlook(const ComputeOptions& compute);

// FLOPs of one step on kOutlookRows quadruplets, forward and backward: the products of the blocks,
// the patch embedding and attention. `trains_all`: with the gradients of the weights.
double step_flops(const ClipGeometry& geometry, bool trains_all);

}  // namespace saferclip
