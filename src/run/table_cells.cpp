#include "run/table_cells.h"

#include "saferclip/core/display.h"
#include "saferclip/core/text_format.h"

namespace saferclip {

std::string text_cell(const std::string& text, std::size_t columns) {
  const std::string cut = cut_to_columns(text, columns);
  return cut + std::string(columns - display_columns(cut), ' ');
}

std::string path_cell(const std::string& path, std::size_t columns) {
  if (display_columns(path) <= columns) return text_cell(path, columns);
  constexpr std::size_t kMark = 2;
  std::size_t begin = 0;
  const auto continues = [&](std::size_t i) {
    return i < path.size() && (static_cast<unsigned char>(path[i]) & 0xC0U) == 0x80U;
  };
  while (begin < path.size() && display_columns(path.substr(begin)) + kMark > columns) {
    ++begin;
    while (continues(begin)) ++begin;
  }
  return text_cell(".." + path.substr(begin), columns);
}

std::string right_cell(const std::string& text, std::size_t columns) {
  const std::size_t used = display_columns(text);
  return std::string(columns > used ? columns - used : 0, ' ') + text;
}

std::string number_cell(double value, int decimals, std::size_t columns) {
  return right_cell(fixed(value, decimals), columns);
}

}  // namespace saferclip
