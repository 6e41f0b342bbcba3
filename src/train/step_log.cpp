// Checks, logs and shows the numbers of each step, and words the messages about them. A step whose
// loss or gradient is not finite is neither logged nor saved: the error names the terms and the
// rows, and the last good checkpoint stays. In fp16 overflows are expected now and then: they halve
// the loss scale and skip the update, and only gradients that no scale can hold are an error.
#include "train/step_log.h"

#include <cmath>
#include <utility>

#include "saferclip/core/error.h"
#include "saferclip/core/memory.h"
#include "saferclip/core/text_format.h"

namespace saferclip {

namespace {

bool is_sound(const StepLine& line) {
  if (!std::isfinite(line.loss)) return false;
  return line.is_skipped ? line.loss_scale >= 1 : std::isfinite(line.grad_norm);
}

}  // namespace

bool StepLog::flush() {
  std::optional<StepLine> line = pending_.take();
  if (!line) return true;
  line_ = std::move(*line);
  if (!is_sound(line_)) return false;
  skipped_ += line_.is_skipped ? 1 : 0;
  if (line_.step % every_steps_ == 0 || line_.step == total_) metrics_.write(line_);
  return true;
}

std::string not_finite_text(const StepLine& line, const std::vector<std::string>& row_names,
                            std::optional<std::int64_t> good) {
  std::vector<std::string> broken;
  for (const auto& [name, value] : line.terms) {
    if (!std::isfinite(value)) broken.push_back(name);
  }
  return cat("step ", line.step, ": ", std::isfinite(line.loss) ? "the gradient" : "the loss",
             " is not finite", line.is_skipped ? " in fp16, whatever the loss scale" : "",
             broken.empty() ? "" : cat(" (terms: ", join(broken, ", "), ")"),
             "; rows in the batch: ", join(shortened(row_names, 64), ", "), "; ",
             good ? cat("the checkpoint of step ", *good, " is untouched")
                  : std::string("no checkpoint has been saved yet"),
             ". Lower optimizer.lr, set train.grad_clip, or train in fp32");
}

void show_step(const StepLine& line, bool has_unsafe, Progress& progress) {
  if (line.step == 0) return progress.advance(1);
  progress.advance(1, {cat("loss ", fixed(line.loss, 4))},
                   {rate_text(line.quadruplets_per_s, has_unsafe ? "quadruplets" : "rows"),
                    line.device_peak_bytes > 0 ? human_bytes(line.device_peak_bytes) + " on the GPU"
                                               : human_bytes(peak_memory_bytes()),
                    cat("epoch ", line.epoch + 1), cat("lr ", line.lr)});
}

std::string stopped_text(std::int64_t step, int exit_code) {
  return cat("stopped ",
             exit_code == kOutOfTime ? std::string("at the time limit")
                                     : cat("by signal ", exit_code - 128),
             " after step ", step, "; checkpoint saved, continue with --resume auto");
}

}  // namespace saferclip
