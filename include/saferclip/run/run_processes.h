// One run in several processes: who prepares, who speaks, and how they end.
#pragma once

#include <functional>
#include <string>

#include "saferclip/core/error.h"
#include "saferclip/core/log.h"
#include "saferclip/core/stop.h"
#include "saferclip/distributed/agreement.h"
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

// What the first process's result decides counts for all, though each has measured the same.
ValidationResult result_of_first(const Processes& processes, ValidationResult own);

// Throws ConfigError in all processes if they do not do the same: program, configuration, weights,
// threads, kind of processor, and what else `facts` names.
void require_equal_processes(const Session& session, Logger& log, const Facts& facts = {});

}  // namespace saferclip
