// The normalization table that SentencePiece compiles into its models: replacements of characters.
#pragma once

#include <string>
#include <string_view>

namespace saferclip {

// `table`: the size of a double array (darts-clone), the array, and the NUL-terminated
// replacements. Throws DataError with `where` for a table that points outside itself or has very
// long replacements.
void check_charsmap(std::string_view table, const std::string& where);

// `text` normalized by a checked table, as the tokenizers library's Precompiled does it: graphemes
// of at most five bytes as a whole, others character by character, each by the shortest matching
// entry.
std::u32string apply_charsmap(std::string_view table, const std::u32string& text);

}  // namespace saferclip
