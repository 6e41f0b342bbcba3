// Formatting of numbers, sizes and lists in messages. Independent of the user's locale:
// std::to_string and "%.*f" run in the C locale, which this program never changes, so logs and
// tables look the same on every machine.
#include "saferclip/core/text_format.h"

#include <array>
#include <cstdio>
#include <cstdlib>
#include <vector>

namespace saferclip {
std::vector<std::string> shortened(const std::vector<std::string>& lines, std::size_t limit) {
  if (lines.size() <= limit) return lines;
  std::vector<std::string> head(lines.begin(), lines.begin() + static_cast<std::ptrdiff_t>(limit));
  head.push_back(cat("… and ", lines.size() - limit, " more"));
  return head;
}

std::string join(const std::vector<std::string>& parts, std::string_view separator) {
  std::string text;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (i > 0) text += separator;
    text += parts[i];
  }
  return text;
}

std::string shortened_text(const std::string& text, std::size_t size) {
  if (text.size() <= size) return text;
  while (size > 0 && (static_cast<unsigned char>(text[size]) & 0xC0U) == 0x80U) --size;
  return text.substr(0, size) + "…";
}

std::string trimmed(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\r\n";
  const std::size_t first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return "";
  return std::string(text.substr(first, text.find_last_not_of(kBlanks) - first + 1));
}

std::string fixed(double value, int decimals) {
  std::array<char, 64> buffer{};
  std::snprintf(buffer.data(), buffer.size(), "%.*f", decimals, value);
  return buffer.data();
}

std::string human_bytes(std::uint64_t bytes) {
  static constexpr std::array<const char*, 5> kUnits{"B", "KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (value >= 1024 && unit + 1 < kUnits.size()) {
    value /= 1024;
    ++unit;
  }
  return fixed(value, unit == 0 ? 0 : 1) + " " + kUnits[unit];
}

std::string with_commas(std::int64_t value) {
  std::string digits = std::to_string(std::llabs(value));
  for (auto i = static_cast<std::ptrdiff_t>(digits.size()) - 3; i > 0; i -= 3) {
    digits.insert(static_cast<std::size_t>(i), ",");
  }
  return value < 0 ? "-" + digits : digits;
}

}  // namespace saferclip
