// One run in several processes: who prepares, who speaks, and how they end.
#pragma once

#include <functional>
#include <string>

#include "saferclip/core/error.h"
#include "saferclip/core/log.h"
#include "saferclip/core/stop.h"
#include "saferclip/run/session.h"
#include "saferclip/train/trainer.h"

namespace saferclip {

// Joins the other processes, if a launcher (torchrun, Slurm) started this one as one of several;
// returns `compute` with them. All but the first say only warnings and errors from then on. When
// another process is lost, this one logs it and ends at once, with kProcessLost or the other's
// code. Throws ConfigError and Error.
ComputeOptions join_processes(ComputeOptions compute, Logger& log, const StopFlag& stop);

// Whether `command` runs in the first process alone, and this one is another; says so.
bool is_left_to_first(const std::string& command, Logger& log);

// Runs `work`, then waits until all have finished theirs. If it throws, the others learn of it: an
// error that all have (`is_shared`) is said by the first process alone, any other ends them.
void end_together(const Processes& processes, Logger& log,
                  const std::function<bool(const Error&)>& is_shared,
                  const std::function<void()>& work);

// The first process's text.
std::string text_of_first(const Processes& processes, const std::string& text);

// Runs `work` in the first process of each machine, then in the others: what the first ones make on
// disk, the others find.
void first_of_machine_first(const Session& session, Logger& log, const StopFlag& stop,
                            const std::function<void()>& work);

// The first process validates; the others wait, and take over what its result decides.
class SharedValidation : public StepValidation {
 public:
  // `own`: of the first process; must outlive this.
  SharedValidation(StepValidation* own, const Processes& processes)
      : own_(own), processes_(processes) {}

  ValidationResult validate(std::int64_t step) override;

 private:
  StepValidation* own_;
  Processes processes_;
};

// Throws ConfigError in all processes if they do not do the same: program, configuration, weights,
// threads, kind of processor.
void require_equal_processes(const Session& session, Logger& log);

}  // namespace saferclip
