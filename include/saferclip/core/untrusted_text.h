// Checks on text from files that anyone may have written, before a parser sees it.
#pragma once

#include <string_view>

namespace saferclip {

// Whether lists and objects of a JSON text stand in each other more than `levels` deep; to be asked
// before a parser or printer that recurses. Strings are skipped, the text need not be valid.
bool is_nested_deeper(std::string_view json, int levels);

// Whether `bytes` is well-formed UTF-8 (no surrogates, no overlong forms, at most U+10FFFF).
bool is_valid_utf8(std::string_view bytes);

}  // namespace saferclip
