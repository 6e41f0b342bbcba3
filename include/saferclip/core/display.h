// The width of UTF-8 text on a terminal.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace saferclip {

// Columns: two for East Asian wide letters and emoji, none for combining marks, one for everything
// else, including each byte that is not UTF-8.
std::size_t display_columns(std::string_view text);

// The text, cut to `columns` with ".." at the end if it is wider.
std::string cut_to_columns(std::string_view text, std::size_t columns);

}  // namespace saferclip
