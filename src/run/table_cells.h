// Cells of tables on the terminal, by display columns.
#pragma once

#include <cstddef>
#include <string>

namespace saferclip {

inline constexpr std::size_t kTableWidth = 80;

// The text, cut at its end or filled up with blanks to `columns`.
std::string text_cell(const std::string& text, std::size_t columns);
// The same for a path, cut at its beginning, because its end tells files apart.
std::string path_cell(const std::string& path, std::size_t columns);
// Short text, filled up from the left.
std::string right_cell(const std::string& text, std::size_t columns);
std::string number_cell(double value, int decimals, std::size_t columns);

}  // namespace saferclip
