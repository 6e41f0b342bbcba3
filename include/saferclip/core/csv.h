// Comma-separated values as RFC 4180 describes them.
#pragma once

#include <string>
#include <string_view>

namespace saferclip {

// A quoted field: text may hold commas, quotes and line breaks.
std::string csv_field(std::string_view text);

}  // namespace saferclip
