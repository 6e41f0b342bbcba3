// Caption cleaning before tokenization.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "saferclip/core/preprocessing.h"

namespace saferclip {

// White space collapsed to single spaces, and:
//   openai: open_clip's default. From ftfy: terminal escapes, HTML entities, ligatures, full-width
//     forms, curly quotes, line breaks, control characters, NFC; not its repair of mojibake. Then
//     HTML entities twice more, white space (including U+001C-1F), str.lower().
//   whitespace, canonicalize: open_clip's other functions: the same without lower case; the same
//   with
//     underscores as spaces and ASCII punctuation removed.
//   hf: NFC, white space, lower case character by character, as transformers' CLIPTokenizer.
//   siglip: str.lower(), ASCII punctuation removed, white space (including U+001C-1F), as
//     canonicalize_text of transformers' SiglipTokenizer.
//   none: white space and str.lower().
std::u32string clean_text(const std::u32string& text, TextCleaning cleaning);

// The character of a named HTML entity (name without & and ;), if it exists in this form.
std::optional<char32_t> html_entity(std::string_view name, bool has_semicolon);

// Python's html.unescape with HTML 4's names.
std::u32string unescape_html(const std::u32string& text);

}  // namespace saferclip
