// Comma-, semicolon-, tab- and bar-separated tables: the separator is found in the header, or named
// by Excel's first line "sep=;".
#pragma once

#include <filesystem>
#include <string_view>

#include "saferclip/io/text_rows.h"

namespace saferclip {

// Rows of a table with a header; empty fields are left out, rows of empty fields too. `text` has
// "\n" at its line ends. Throws DataError for a header that cannot be used and a quote that is
// never closed.
TextTable read_csv(std::string_view text, const std::filesystem::path& file);

}  // namespace saferclip
