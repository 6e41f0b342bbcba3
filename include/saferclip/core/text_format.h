// Small text formatting for messages and tables; UTF-8 in, UTF-8 out.
#pragma once

#include <cstdint>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace saferclip {

// All arguments, streamed one after the other.
template <class... Parts>
std::string cat(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

std::string join(const std::vector<std::string>& parts, std::string_view separator);

// At most `limit` entries and a count of the rest, for messages.
std::vector<std::string> shortened(const std::vector<std::string>& lines, std::size_t limit);

// What a message quotes of a text that may be long: at most `size` bytes, cut between letters.
std::string shortened_text(const std::string& text, std::size_t size = 60);

// Without white space at its ends.
std::string trimmed(std::string_view text);

// Fixed-point decimal: fixed(3.14159, 2) == "3.14".
std::string fixed(double value, int decimals);

// "890.2 MiB"; `bytes` in bytes.
std::string human_bytes(std::uint64_t bytes);

// "1h 02m", "3m 20s", "4.1s"; `seconds` in seconds.
std::string human_duration(double seconds);

// Seconds of "55m", "1h30m", "2d", "90s", or of Slurm's forms with a colon or a dash: "55:00"
// (minutes: seconds), "1:30:00", "1-02", "1-02:30", "1-02:30:00". Empty for anything else, a bare
// number (Slurm: minutes, others: seconds) among it.
std::optional<std::int64_t> parse_duration(std::string_view text);

// 12345678 -> "12,345,678".
std::string with_commas(std::int64_t value);

// The candidate with the smallest edit distance to `word`, or "" when none is near enough to be a
// likely misspelling (more than a third of the letters differ).
std::string nearest_match(std::string_view word, const std::vector<std::string>& candidates);

// Whether lists and objects of a JSON text stand in each other more than `levels` deep; to be asked
// before a parser or printer that recurses. Strings are skipped, the text need not be valid.
bool is_nested_deeper(std::string_view json, int levels);

// Whether `bytes` is well-formed UTF-8 (no surrogates, no overlong forms, at most U+10FFFF).
bool is_valid_utf8(std::string_view bytes);

}  // namespace saferclip
