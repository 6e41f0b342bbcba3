// The terminal behind stderr.
#pragma once

#include <cstddef>

namespace saferclip {

// Whether a line of it may be redrawn: a terminal that is not TERM=dumb, and no NO_COLOR.
bool can_redraw_stderr();

// Its width now; COLUMNS, then 80, where it does not say.
std::size_t stderr_columns();

}  // namespace saferclip
