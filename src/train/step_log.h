// The numbers of each step: checked, logged, and shown.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "saferclip/core/progress.h"
#include "saferclip/train/metrics_log.h"
#include "saferclip/train/step.h"
#include "train/delayed_metrics.h"

namespace saferclip {

class StepLog {
 public:
  // Writes every `every_steps`-th line, and that of step `total`.
  StepLog(MetricsLog& metrics, std::int64_t every_steps, std::int64_t total)
      : metrics_(metrics), every_steps_(every_steps), total_(total) {}

  // Takes the numbers of a step, whose copy to the host may still be under way. Call flush() before
  // the next put().
  void put(StepLine line, const StepNumbers& numbers) { pending_.put(std::move(line), numbers); }

  // Writes the line that was put. On a GPU that reads the previous step's numbers, so a checkpoint
  // is written only after its own step has passed this check. False, with the line in line() and
  // not written, when loss or gradient is not finite. A skipped step (fp16) passes until the loss
  // scale has fallen below 1.
  bool flush();

  // The last line that was flushed.
  const StepLine& line() const { return line_; }
  // Steps whose update was skipped, since this process began.
  std::int64_t skipped() const { return skipped_; }

 private:
  MetricsLog& metrics_;
  std::int64_t every_steps_;
  std::int64_t total_;
  DelayedMetrics pending_;
  StepLine line_;
  std::int64_t skipped_ = 0;
};

// NumericError's text for a step with non-finite numbers. `row_names`: of its batch; `good`: the
// step of the newest checkpoint.
std::string not_finite_text(const StepLine& line, const std::vector<std::string>& row_names,
                            std::optional<std::int64_t> good);

// Advances the progress by one step and shows its numbers: loss, rate ("quadruplets" when the rows
// have an unsafe half), memory, epoch, learning rate. A line of step 0 holds no numbers yet.
void show_step(const StepLine& line, bool has_unsafe, Progress& progress);

// Interrupted's text for a run that was saved after `step`. `exit_code`: 128 + signal, or
// kOutOfTime.
std::string stopped_text(std::int64_t step, int exit_code);

}  // namespace saferclip
