// A table of Unicode blocks instead of the C library's wcwidth, which depends on the locale and on
// the system's Unicode version. Coarse where terminals disagree anyway; an error misplaces a
// progress line by a column.
#include "saferclip/core/display.h"

#include <algorithm>
#include <array>
#include <cstdint>

namespace saferclip {
namespace {

struct Range {
  std::uint32_t first;
  std::uint32_t last;
};

constexpr std::array<Range, 13> kWide{{{0x1100, 0x115F},
                                       {0x231A, 0x231B},
                                       {0x2614, 0x2615},
                                       {0x26A1, 0x26A1},
                                       {0x2E80, 0x303E},
                                       {0x3041, 0x4DBF},
                                       {0x4E00, 0xA4CF},
                                       {0xA960, 0xA97F},
                                       {0xAC00, 0xD7A3},
                                       {0xF900, 0xFAFF},
                                       {0xFE30, 0xFE6F},
                                       {0xFF00, 0xFF60},
                                       {0x1F000, 0x3FFFD}}};
constexpr std::array<Range, 12> kZeroWidth{{{0x0300, 0x036F},
                                            {0x0483, 0x0489},
                                            {0x0591, 0x05BD},
                                            {0x0610, 0x061A},
                                            {0x064B, 0x065F},
                                            {0x0900, 0x0902},
                                            {0x0E31, 0x0E31},
                                            {0x0E34, 0x0E3A},
                                            {0x1AB0, 0x1AFF},
                                            {0x200B, 0x200F},
                                            {0x20D0, 0x20FF},
                                            {0xFE00, 0xFE0F}}};

template <std::size_t kCount>
bool holds(const std::array<Range, kCount>& ranges, std::uint32_t letter) {
  return std::any_of(ranges.begin(), ranges.end(), [letter](const Range& range) {
    return letter >= range.first && letter <= range.last;
  });
}

// Removes one letter from the front and returns its columns.
std::size_t take_letter(std::string_view& text) {
  const auto lead = static_cast<unsigned char>(text.front());
  const std::size_t size = lead < 0xC2   ? 1
                           : lead < 0xE0 ? 2
                           : lead < 0xF0 ? 3
                           : lead < 0xF5 ? 4
                                         : 1;
  std::uint32_t letter = size == 1 ? lead : lead & (0xFFU >> (size + 1));
  std::size_t used = 1;
  for (; used < std::min(size, text.size()); ++used) {
    const auto byte = static_cast<unsigned char>(text[used]);
    if ((byte & 0xC0U) != 0x80U) break;
    letter = (letter << 6U) | (byte & 0x3FU);
  }
  const bool is_letter = used == size;  // otherwise truncated or not UTF-8: byte by byte
  text.remove_prefix(is_letter ? used : 1);
  if (!is_letter || size == 1) return 1;
  return holds(kZeroWidth, letter) ? 0 : holds(kWide, letter) ? 2 : 1;
}

}  // namespace

std::size_t display_columns(std::string_view text) {
  std::size_t columns = 0;
  while (!text.empty()) columns += take_letter(text);
  return columns;
}

std::string cut_to_columns(std::string_view text, std::size_t columns) {
  if (display_columns(text) <= columns) return std::string(text);
  const std::string_view mark = std::string_view("..").substr(0, columns);
  std::size_t used = mark.size();
  std::string_view rest = text;
  while (true) {
    std::string_view next = rest;
    used += take_letter(next);
    if (used > columns) break;
    rest = next;
  }
  return std::string(text.substr(0, text.size() - rest.size())).append(mark);
}

}  // namespace saferclip
