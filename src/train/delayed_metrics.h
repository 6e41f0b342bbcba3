// Reads a step's numbers one step later, so that the host never waits for the device.
#pragma once

#include <c10/core/Event.h>

#include <memory>
#include <optional>
#include <vector>

#include "saferclip/train/metrics_log.h"
#include "saferclip/train/step.h"

namespace saferclip {

class DelayedMetrics {
 public:
  // Starts the copy of a step's numbers to the host.
  void put(StepLine line, const StepNumbers& numbers);
  // The numbers of the last put(), if any; waits only for their copy.
  std::optional<StepLine> take();

 private:
  std::optional<StepLine> line_;
  at::Tensor host_;
  std::vector<std::string> names_;
  bool has_scale_ = false;
  bool has_masks_ = false;
  std::int64_t requests_ = 0;
  std::unique_ptr<c10::Event> copied_;
};

}  // namespace saferclip
