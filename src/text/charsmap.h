// The normalisation table that SentencePiece compiles into its models: what stands for which
// characters.
#pragma once

#include <string>
#include <string_view>

namespace saferclip {

// `table`: the size of a double array (darts-clone), the array, the replacements, each ended by
// NUL. Throws DataError naming `where`: a table that points outside itself or makes much of little.
void check_charsmap(std::string_view table, const std::string& where);

// `text` through a table that was checked, as the tokenizers library's Precompiled does it: whole
// graphemes of at most five bytes first, else character by character, each by the shortest entry.
std::u32string apply_charsmap(std::string_view table, const std::u32string& text);

}  // namespace saferclip
