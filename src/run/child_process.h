// Runs this program once more, as a child.
#pragma once

#include <string>
#include <vector>

#include "saferclip/core/stop.h"

namespace saferclip {

// Where the child's standard output goes: where ours goes, to standard error, or nowhere.
enum class ChildOutput { kAsOurs, kToStderr, kNone };

// Runs the program of this process with `words` as its arguments and waits for it. Once `stop` is
// set by a signal, the child gets that signal, once, and is waited for; it gets SIGTERM if this
// process is killed. Returns the exit code, 128 + signal for a child that a signal ended. Throws
// Error if no process can be made.
int run_this_program(const std::vector<std::string>& words, const StopFlag& stop,
                     ChildOutput output = ChildOutput::kAsOurs);

}  // namespace saferclip
