// Reimplements Python functions step by step (ftfy's fix_text as open_clip calls it, html.unescape,
// str.split, str.lower), because ids depend on every detail. ftfy's mojibake repair is left out;
// docs/tokenizer.md says so.
#include "text/clean.h"

#include <algorithm>
#include <map>

#include "text/unicode.h"

namespace saferclip {
namespace {

// str.split() also separates at U+001C-1F, which are not White_Space.
bool is_python_space(char32_t c) { return is_white_space(c) || (c >= 0x1C && c <= 0x1F); }

template <class Predicate>
std::u32string collapse_spaces(const std::u32string& text, Predicate is_space) {
  std::u32string result;
  bool is_pending = false;
  for (const char32_t c : text) {
    if (is_space(c)) {
      is_pending = !result.empty();
    } else {
      if (is_pending) result.push_back(U' ');
      is_pending = false;
      result.push_back(c);
    }
  }
  return result;
}

// The number of the reference (#65 or #x41) at `position`, which moves past it.
std::optional<char32_t> numeric_reference(const std::u32string& text, std::size_t& position) {
  std::size_t i = position + 1;
  const bool is_hex = i < text.size() && (text[i] == U'x' || text[i] == U'X');
  if (is_hex) ++i;
  const std::size_t first = i;
  char32_t value = 0;
  for (; i < text.size(); ++i) {
    const char32_t c = text[i];
    int digit = -1;
    if (c >= U'0' && c <= U'9') digit = static_cast<int>(c - U'0');
    if (is_hex && c >= U'a' && c <= U'f') digit = static_cast<int>(c - U'a') + 10;
    if (is_hex && c >= U'A' && c <= U'F') digit = static_cast<int>(c - U'A') + 10;
    if (digit < 0) break;
    value = std::min<char32_t>(0x110000, value * (is_hex ? 16 : 10) + static_cast<char32_t>(digit));
  }
  if (i == first) return std::nullopt;
  if (i < text.size() && text[i] == U';') ++i;
  position = i;
  return value;
}

// The Windows-1252 character with the code of a C1 control; 0 if there is none.
char32_t windows_1252(char32_t value) {
  static const std::map<char32_t, char32_t> kCp1252{
      {0x80, 0x20AC}, {0x82, 0x201A}, {0x83, 0x0192}, {0x84, 0x201E}, {0x85, 0x2026},
      {0x86, 0x2020}, {0x87, 0x2021}, {0x88, 0x02C6}, {0x89, 0x2030}, {0x8A, 0x0160},
      {0x8B, 0x2039}, {0x8C, 0x0152}, {0x8E, 0x017D}, {0x91, 0x2018}, {0x92, 0x2019},
      {0x93, 0x201C}, {0x94, 0x201D}, {0x95, 0x2022}, {0x96, 0x2013}, {0x97, 0x2014},
      {0x98, 0x02DC}, {0x99, 0x2122}, {0x9A, 0x0161}, {0x9B, 0x203A}, {0x9C, 0x0153},
      {0x9E, 0x017E}, {0x9F, 0x0178}};
  const auto found = kCp1252.find(value);
  return found == kCp1252.end() ? 0 : found->second;
}

// html.unescape of a number: Windows-1252 for the C1 range, nothing for invalid code points.
std::u32string numbered_character(char32_t value) {
  if (const char32_t mapped = windows_1252(value); mapped != 0) return {mapped};
  if (value == 0 || value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF)) return {U'\xFFFD'};
  if (value == 0x0D) return {value};
  const bool is_invalid = (value < 0x20 && value != 9 && value != 10 && value != 12) ||
                          (value >= 0x7F && value <= 0x9F) ||
                          (value >= 0xFDD0 && value <= 0xFDEF) || (value & 0xFFFEU) == 0xFFFE ||
                          value == 0x0B;
  return is_invalid ? std::u32string() : std::u32string{value};
}

// The longest entity name at `position`, which moves past it.
std::optional<char32_t> named_reference(const std::u32string& text, std::size_t& position) {
  std::string name;
  std::size_t i = position;
  while (i < text.size() && name.size() < 32 && text[i] < 0x80 &&
         std::isalnum(static_cast<int>(text[i])) != 0) {
    name.push_back(static_cast<char>(text[i++]));
  }
  if (i < text.size() && text[i] == U';') {
    if (const auto code = html_entity(name, true)) {
      position = i + 1;
      return code;
    }
  }
  for (std::size_t length = name.size(); length > 1; --length) {
    if (const auto code = html_entity(std::string_view(name).substr(0, length), false)) {
      position += length;
      return code;
    }
  }
  return std::nullopt;
}

// ftfy's remove_terminal_escapes: ESC [ … letter.
std::u32string remove_terminal_escapes(const std::u32string& text) {
  std::u32string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == 0x1B && i + 1 < text.size() && text[i + 1] == U'[') {
      std::size_t end = i + 2;
      while (end < text.size() && ((text[end] >= U'0' && text[end] <= U'9') || text[end] == U';'))
        ++end;
      if (end < text.size() && text[end] < 0x80 && std::isalpha(static_cast<int>(text[end])) != 0) {
        i = end;
        continue;
      }
    }
    result.push_back(text[i]);
  }
  return result;
}

std::u32string_view ftfy_replacement(char32_t c) {
  static const std::map<char32_t, std::u32string> kReplacements{
      {0x132, U"IJ"},       {0x133, U"ij"},  {0x149, U"'n"},      {0x1F1, U"DZ"},
      {0x1F2, U"Dz"},       {0x1F3, U"dz"},  {0x1C4, U"D\u017D"}, {0x1C5, U"D\u017E"},
      {0x1C6, U"d\u017E"},  {0x1C7, U"LJ"},  {0x1C8, U"Lj"},      {0x1C9, U"lj"},
      {0x1CA, U"NJ"},       {0x1CB, U"Nj"},  {0x1CC, U"nj"},      {0xFB00, U"ff"},
      {0xFB01, U"fi"},      {0xFB02, U"fl"}, {0xFB03, U"ffi"},    {0xFB04, U"ffl"},
      {0xFB05, U"\u017Ft"}, {0xFB06, U"st"}, {0x2018, U"'"},      {0x2019, U"'"},
      {0x201A, U"'"},       {0x201B, U"'"},  {0x2BC, U"'"},       {0x201C, U"\""},
      {0x201D, U"\""},      {0x201E, U"\""}, {0x201F, U"\""},     {0x3000, U" "},
      {0x2028, U"\n"},      {0x2029, U"\n"}};
  const auto found = kReplacements.find(c);
  return found == kReplacements.end() ? std::u32string_view() : std::u32string_view(found->second);
}

// ftfy's remove_control_chars: C0 except tab, line feed, form feed and carriage return, and a few
// more.
bool is_ftfy_control(char32_t c) {
  return c <= 0x08 || c == 0x0B || (c >= 0x0E && c <= 0x1F) || c == 0x7F ||
         (c >= 0x206A && c <= 0x206F) || c == 0xFEFF || (c >= 0xFFF9 && c <= 0xFFFC);
}

std::u32string fix_like_ftfy(const std::u32string& given) {
  std::u32string text = remove_terminal_escapes(given);
  if (text.find(U'<') == std::u32string::npos) text = unescape_html(text);
  std::u32string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    // ftfy reads a C1 control as a byte of Windows-1252.
    const char32_t mapped = windows_1252(text[i]);
    const char32_t c = mapped != 0 ? mapped : text[i];
    if (is_ftfy_control(c)) continue;
    if (const auto replacement = ftfy_replacement(c); !replacement.empty()) {
      result += replacement;
    } else if (c >= 0xFF01 && c < 0xFFF0) {  // full-width and half-width forms
      result += normalise_nfkc({c});
    } else {
      result.push_back(c);
    }
  }
  return normalise_nfc(result);
}

// Python's string.punctuation.
std::u32string without_ascii_punctuation(std::u32string text) {
  std::erase_if(text,
                [](char32_t c) { return c < 0x80 && std::ispunct(static_cast<int>(c)) != 0; });
  return text;
}

}  // namespace

std::u32string unescape_html(const std::u32string& text) {
  std::u32string result;
  std::size_t i = 0;
  while (i < text.size()) {
    if (text[i] != U'&' || i + 1 == text.size()) {
      result.push_back(text[i++]);
      continue;
    }
    std::size_t next = i + 1;
    if (text[next] == U'#') {
      if (const auto value = numeric_reference(text, next)) {
        result += numbered_character(*value);
        i = next;
        continue;
      }
    } else if (const auto code = named_reference(text, next)) {
      result.push_back(*code);
      i = next;
      continue;
    }
    result.push_back(text[i++]);
  }
  return result;
}

std::u32string clean_text(const std::u32string& text, TextCleaning cleaning) {
  // open_clip's basic_clean.
  const auto basic = [&] { return unescape_html(unescape_html(fix_like_ftfy(text))); };
  switch (cleaning) {
    case TextCleaning::kOpenAi:
      return lower_full(collapse_spaces(basic(), is_python_space));
    case TextCleaning::kWhitespace:
      return collapse_spaces(basic(), is_python_space);
    case TextCleaning::kCanonicalize: {
      std::u32string plain = basic();
      std::replace(plain.begin(), plain.end(), U'_', U' ');
      return collapse_spaces(lower_full(without_ascii_punctuation(plain)), is_python_space);
    }
    case TextCleaning::kHuggingFace:
      return lower_each(collapse_spaces(normalise_nfc(text), is_white_space));
    case TextCleaning::kSiglip:
      return collapse_spaces(without_ascii_punctuation(lower_full(text)), is_python_space);
    case TextCleaning::kNone:
      return lower_full(collapse_spaces(text, is_white_space));
  }
  return text;
}

}  // namespace saferclip
