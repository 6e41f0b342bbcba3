// Text formatting for messages and tables, in UTF-8.
#pragma once

#include <cstdint>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace saferclip {

// Concatenates the arguments as streams print them.
template <class... Parts>
std::string cat(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

std::string join(const std::vector<std::string>& parts, std::string_view separator);

// The first `limit` entries and a line that counts the rest.
std::vector<std::string> shortened(const std::vector<std::string>& lines, std::size_t limit);

// At most `size` bytes of a text, cut between letters, with "…" if cut; for quoting in messages.
std::string shortened_text(const std::string& text, std::size_t size = 60);

// Without leading and trailing white space.
std::string trimmed(std::string_view text);

// Fixed-point decimal: fixed(3.14159, 2) == "3.14".
std::string fixed(double value, int decimals);

// "890.2 MiB".
std::string human_bytes(std::uint64_t bytes);

// 12345678 -> "12,345,678".
std::string with_commas(std::int64_t value);

}  // namespace saferclip
