// The terminal of stderr.
#pragma once

#include <cstddef>

namespace saferclip {

// Whether a line may be redrawn: stderr is a terminal, TERM is neither empty nor dumb, and NO_COLOR
// is not set.
bool can_redraw_stderr();

// Its current width; if unknown, COLUMNS, else 80.
std::size_t stderr_columns();

}  // namespace saferclip
