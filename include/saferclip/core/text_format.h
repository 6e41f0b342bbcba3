// Small text formatting for messages and tables; UTF-8 in, UTF-8 out.
#pragma once

#include <cstdint>
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

// 12345678 -> "12,345,678".
std::string with_commas(std::int64_t value);

}  // namespace saferclip
