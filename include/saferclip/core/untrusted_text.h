// Checks on text from untrusted files, to run before a parser does.
#pragma once

#include <string_view>

namespace saferclip {

// Whether the lists and objects of a JSON text nest deeper than `levels`, which could overflow the
// stack of a recursive parser or printer. Ignores strings; the text need not be valid.
bool is_nested_deeper(std::string_view json, int levels);

// Whether `bytes` is well-formed UTF-8 (no surrogates, no overlong forms, at most U+10FFFF).
bool is_valid_utf8(std::string_view bytes);

}  // namespace saferclip
