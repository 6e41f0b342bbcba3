// `doctor` among several processes: which is this one, do they find each other, does a message
// arrive.
#pragma once

#include "saferclip/run/machine_check.h"

namespace saferclip {

// `compute` with this process's number on its machine, which chooses its card.
ComputeOptions as_launched(ComputeOptions compute);

// The backends of this build. Under a launcher that started several processes, all of which must
// call this: the place of this one, where the others are, and whether an all-reduce on the device
// of `compute` gives the right sum. Waits up to a minute for the others.
MachineFinding check_processes(const ComputeOptions& compute);

}  // namespace saferclip
