// Durations for messages, and from options such as a time limit. Two grammars, told apart by a
// colon or a dash: units ("1h30m") and Slurm's times, which users copy from their job scripts. Each
// number is capped so that no sum overflows.
#include "saferclip/core/durations.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <vector>

#include "saferclip/core/text_format.h"

namespace saferclip {

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

// Removes a number from the front of `text`.
std::optional<std::int64_t> take_number(std::string_view& text) {
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  constexpr std::int64_t kLargest = 100'000'000;
  if (error != std::errc() || number < 0 || number > kLargest) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return number;
}

// "1h30m": units in descending order, each at most once.
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

// [days-]a[:b[:c]]; `a` is hours after days or if there are three numbers, else minutes.
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
  for (bool has_more = true; has_more;) {
    const auto number = take_number(text);
    if (!number) return std::nullopt;
    parts.push_back(*number);
    has_more = !text.empty() && text.front() == ':';
    if (has_more) text.remove_prefix(1);
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

}  // namespace saferclip
