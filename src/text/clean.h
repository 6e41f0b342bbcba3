// What is done to a caption before it is cut into words.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "saferclip/core/preprocessing.h"

namespace saferclip {

// Lower-cased code points with single spaces.
//   openai: what open_clip's default clean does. Of ftfy: terminal escapes, HTML entities,
//   ligatures,
//     full-width forms, curly quotes, line breaks, control characters, NFC; its repair of mojibake
//     is left out. Then HTML entities twice more, white space (U+001C-1F included), str.lower().
//   whitespace, canonicalize: open_clip's other clean functions: the same without lower case; with
//     underscores as spaces and without ASCII punctuation.
//   hf: NFC, white space, lower case character by character, as transformers' CLIPTokenizer.
//   siglip: str.lower(), then ASCII punctuation removed, white space (U+001C-1F included), as
//     canonicalize_text of transformers' SiglipTokenizer.
//   none: white space and str.lower().
std::u32string clean_text(const std::u32string& text, TextCleaning cleaning);

// The character of a named entity without & and ;.
std::optional<char32_t> html_entity(std::string_view name, bool has_semicolon);

// Python's html.unescape with HTML 4's names.
std::u32string unescape_html(const std::u32string& text);

}  // namespace saferclip
