// Code points, and the character classes of CLIP's pattern (Unicode properties from ICU).
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace saferclip {

// UTF-8 to code points; malformed parts become U+FFFD, as with Python's "replace" handler.
std::u32string decode_utf8(std::string_view bytes);
std::string encode_utf8(std::u32string_view text);

namespace icu_property {
bool is_letter(char32_t c);
bool is_number(char32_t c);
bool is_white_space(char32_t c);
}  // namespace icu_property

// \p{L}
inline bool is_letter(char32_t c) {
  return c < 0x80 ? (c | 0x20U) >= U'a' && (c | 0x20U) <= U'z' : icu_property::is_letter(c);
}
// \p{N}
inline bool is_number(char32_t c) {
  return c < 0x80 ? c >= U'0' && c <= U'9' : icu_property::is_number(c);
}
// White_Space: `\s` of Python's `regex` and of Oniguruma
inline bool is_white_space(char32_t c) {
  return c < 0x80 ? c == U' ' || (c >= 0x09 && c <= 0x0D) : icu_property::is_white_space(c);
}

// `\w` of Rust's regex: letters, marks, decimal digits, connectors, joiners
bool is_word_character(char32_t c);

std::u32string normalise_nfc(const std::u32string& text);
std::u32string normalise_nfd(const std::u32string& text);
std::u32string normalise_nfkd(const std::u32string& text);
std::u32string normalise_nfkc(const std::u32string& text);
// Python's str.lower(): full mapping, with final sigma.
std::u32string lower_full(const std::u32string& text);
// Rust's char::to_lowercase of each character, without context.
std::u32string lower_each(const std::u32string& text);
// The extended grapheme clusters, in order.
std::vector<std::u32string_view> graphemes(std::u32string_view text);

}  // namespace saferclip
