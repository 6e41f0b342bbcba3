// Tables delimited by comma, semicolon, tab or bar. The separator is inferred from the header, or
// named by Excel's first line "sep=;".
#pragma once

#include <filesystem>
#include <string_view>

#include "saferclip/io/text_rows.h"

namespace saferclip {

// The rows of a table with a header, without empty fields and rows of only empty fields. `text` has
// "\n" line ends. Throws DataError for an unusable header and an unclosed quote.
TextTable read_csv(std::string_view text, const std::filesystem::path& file);

}  // namespace saferclip
