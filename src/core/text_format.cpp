#include "saferclip/core/text_format.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <utility>
#include <vector>

namespace saferclip {
namespace {

// Letters to change, add, leave out, or exchange with their neighbour.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before_last, last, row(b.size() + 1);
  for (std::size_t j = 0; j < row.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    before_last = std::exchange(last, row);
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t substituted = last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      row[j] = std::min({substituted, last[j] + 1, row[j - 1] + 1});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        row[j] = std::min(row[j], before_last[j - 2] + 1);
      }
    }
  }
  return row.back();
}

}  // namespace

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

std::string human_duration(double seconds) {
  if (seconds < 60) return fixed(std::max(seconds, 0.0), 1) + "s";
  const auto whole = static_cast<std::int64_t>(std::llround(seconds));
  std::array<char, 48> buffer{};
  if (whole < 3600) {
    std::snprintf(buffer.data(), buffer.size(), "%dm %02ds", static_cast<int>(whole / 60),
                  static_cast<int>(whole % 60));
  } else {
    std::snprintf(buffer.data(), buffer.size(), "%lldh %02dm", static_cast<long long>(whole / 3600),
                  static_cast<int>(whole % 3600 / 60));
  }
  return buffer.data();
}

namespace {

// Digits at the front of `text`, which they are taken from.
std::optional<std::int64_t> take_number(std::string_view& text) {
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  constexpr std::int64_t kMost = 100'000'000;
  if (error != std::errc() || number < 0 || number > kMost) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return number;
}

// "1h30m": units in falling order, each once.
std::optional<std::int64_t> duration_of_units(std::string_view text) {
  constexpr std::string_view kUnits = "dhms";
  constexpr std::array<std::int64_t, 4> kSeconds{86400, 3600, 60, 1};
  std::int64_t seconds = 0;
  for (std::size_t next = 0; !text.empty(); ++next) {
    const auto number = take_number(text);
    const std::size_t unit = text.empty() ? kUnits.npos : kUnits.find(text.front(), next);
    if (!number || unit == kUnits.npos) return std::nullopt;
    seconds += *number * kSeconds[unit];
    text.remove_prefix(1);
    next = unit;
  }
  return seconds;
}

// [days-]a[:b[:c]]: hours first after days or of three, else minutes.
std::optional<std::int64_t> duration_of_slurm(std::string_view text) {
  std::int64_t days = 0;
  const bool has_days = text.find('-') != text.npos;
  if (has_days) {
    const auto number = take_number(text);
    if (!number || text.empty() || text.front() != '-') return std::nullopt;
    days = *number;
    text.remove_prefix(1);
  }
  std::vector<std::int64_t> parts;
  for (bool goes_on = true; goes_on;) {
    const auto number = take_number(text);
    if (!number) return std::nullopt;
    parts.push_back(*number);
    goes_on = !text.empty() && text.front() == ':';
    if (goes_on) text.remove_prefix(1);
  }
  if (!text.empty() || parts.size() > 3 || (!has_days && parts.size() < 2)) return std::nullopt;
  std::int64_t unit = has_days || parts.size() == 3 ? 3600 : 60;
  std::int64_t seconds = days * 86400;
  for (const std::int64_t part : parts) {
    seconds += part * unit;
    unit /= 60;
  }
  return seconds;
}

}  // namespace

std::optional<std::int64_t> parse_duration(std::string_view text) {
  if (text.empty()) return std::nullopt;
  return text.find_first_of(":-") == text.npos ? duration_of_units(text) : duration_of_slurm(text);
}

std::string with_commas(std::int64_t value) {
  std::string digits = std::to_string(std::llabs(value));
  for (auto i = static_cast<std::ptrdiff_t>(digits.size()) - 3; i > 0; i -= 3) {
    digits.insert(static_cast<std::size_t>(i), ",");
  }
  return value < 0 ? "-" + digits : digits;
}

std::string nearest_match(std::string_view word, const std::vector<std::string>& candidates) {
  std::string best;
  std::size_t best_distance = std::max<std::size_t>(1, word.size() / 3) + 1;
  for (const std::string& candidate : candidates) {
    const std::size_t distance = edit_distance(word, candidate);
    if (distance < best_distance) {
      best_distance = distance;
      best = candidate;
    }
  }
  return best;
}

bool is_nested_deeper(std::string_view json, int levels) {
  int depth = 0;
  bool is_text = false;
  for (std::size_t i = 0; i < json.size(); ++i) {
    const char c = json[i];
    if (is_text && c == '\\') {
      ++i;
    } else if (c == '"') {
      is_text = !is_text;
    } else if (!is_text && (c == '[' || c == '{')) {
      if (++depth > levels) return true;
    } else if (!is_text && (c == ']' || c == '}')) {
      --depth;
    }
  }
  return false;
}

bool is_valid_utf8(std::string_view bytes) {
  const auto* p = reinterpret_cast<const unsigned char*>(bytes.data());
  const auto* const end = p + bytes.size();
  while (p < end) {
    const unsigned char lead = *p++;
    if (lead < 0x80) continue;
    int trailing = 0;
    std::uint32_t code = 0;
    std::uint32_t lowest = 0;
    if (lead >= 0xC2 && lead <= 0xDF) {
      trailing = 1, code = lead & 0x1FU, lowest = 0x80;
    } else if ((lead & 0xF0U) == 0xE0) {
      trailing = 2, code = lead & 0x0FU, lowest = 0x800;
    } else if (lead >= 0xF0 && lead <= 0xF4) {
      trailing = 3, code = lead & 0x07U, lowest = 0x10000;
    } else {
      return false;
    }
    for (int i = 0; i < trailing; ++i) {
      if (p == end || (*p & 0xC0U) != 0x80) return false;
      code = (code << 6U) | (*p++ & 0x3FU);
    }
    if (code < lowest || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) return false;
  }
  return true;
}

}  // namespace saferclip
