// Code points and the character classes of CLIP's lexer (Unicode properties from ICU).
#pragma once

#include <string>
#include <string_view>

namespace saferclip {

// UTF-8 to code points; malformed parts become U+FFFD as Python's "replace" handler does.
std::u32string decode_utf8(std::string_view bytes);
std::string encode_utf8(std::u32string_view text);

bool is_letter(char32_t c);       // \p{L}
bool is_number(char32_t c);       // \p{N}
bool is_white_space(char32_t c);  // White_Space, the `\s` of Python's `regex` and of Oniguruma

std::u32string normalise_nfc(const std::u32string& text);
std::u32string normalise_nfkc(const std::u32string& text);
// Python's str.lower(): full mapping with the final sigma.
std::u32string lower_full(const std::u32string& text);
// Rust's char::to_lowercase over each character: no context.
std::u32string lower_each(const std::u32string& text);

}  // namespace saferclip
