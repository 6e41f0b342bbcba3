// How wide UTF-8 text is on a terminal.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace saferclip {

// Columns: two for East Asian wide letters and emoji, none for combining marks, one for all else,
// bytes that are not UTF-8 among it.
std::size_t display_columns(std::string_view text);

// As much of the text as `columns` hold, with ".." at the end of one that was cut.
std::string cut_to_columns(std::string_view text, std::size_t columns);

}  // namespace saferclip
