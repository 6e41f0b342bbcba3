// ICU provides properties, normalization and case mapping; its Unicode version may differ from a
// client's for characters newer than either. UTF-8 is decoded by hand to match CPython's count of
// replacement characters.
#include "text/unicode.h"

#include <unicode/brkiter.h>
#include <unicode/locid.h>
#include <unicode/normalizer2.h>
#include <unicode/uchar.h>
#include <unicode/unistr.h>

#include <memory>

#include "saferclip/core/error.h"

namespace saferclip {
namespace {

icu::UnicodeString to_icu(const std::u32string& text) {
  return icu::UnicodeString::fromUTF32(reinterpret_cast<const UChar32*>(text.data()),
                                       static_cast<std::int32_t>(text.size()));
}

std::u32string from_icu(const icu::UnicodeString& text) {
  std::u32string result;
  for (std::int32_t i = 0; i < text.length(); i = text.moveIndex32(i, 1)) {
    result.push_back(static_cast<char32_t>(text.char32At(i)));
  }
  return result;
}

std::u32string normalise(const std::u32string& text,
                         const icu::Normalizer2* (*instance)(UErrorCode&)) {
  UErrorCode status = U_ZERO_ERROR;
  const icu::Normalizer2* form = instance(status);
  if (U_FAILURE(status) != 0) throw Error("ICU has no normalization data", 1);
  const icu::UnicodeString result = form->normalize(to_icu(text), status);
  if (U_FAILURE(status) != 0) throw Error("ICU cannot normalize text", 1);
  return from_icu(result);
}

// The valid range of the second byte after a lead byte (Unicode table 3-7).
std::pair<unsigned char, unsigned char> second_byte_range(unsigned char lead) {
  switch (lead) {
    case 0xE0:
      return {0xA0, 0xBF};
    case 0xED:
      return {0x80, 0x9F};
    case 0xF0:
      return {0x90, 0xBF};
    case 0xF4:
      return {0x80, 0x8F};
    default:
      return {0x80, 0xBF};
  }
}

}  // namespace

// One U+FFFD for each maximal prefix of a valid sequence, as in CPython and the Unicode standard.
std::u32string decode_utf8(std::string_view bytes) {
  std::u32string text;
  text.reserve(bytes.size());
  std::size_t i = 0;
  const auto at = [&](std::size_t k) { return static_cast<unsigned char>(bytes[k]); };
  while (i < bytes.size()) {
    const unsigned char lead = at(i++);
    if (lead < 0x80) {
      text.push_back(lead);
      continue;
    }
    const int trailing = lead >= 0xC2 && lead <= 0xDF   ? 1
                         : lead >= 0xE0 && lead <= 0xEF ? 2
                         : lead >= 0xF0 && lead <= 0xF4 ? 3
                                                        : 0;
    char32_t code = trailing == 1 ? lead & 0x1FU : trailing == 2 ? lead & 0x0FU : lead & 0x07U;
    bool is_whole = trailing > 0;
    for (int k = 0; k < trailing; ++k) {
      const auto [low, high] =
          k == 0 ? second_byte_range(lead) : std::pair<unsigned char, unsigned char>{0x80, 0xBF};
      if (i >= bytes.size() || at(i) < low || at(i) > high) {
        is_whole = false;
        break;
      }
      code = (code << 6U) | (at(i++) & 0x3FU);
    }
    text.push_back(is_whole ? code : U'\xFFFD');
  }
  return text;
}

std::string encode_utf8(std::u32string_view text) {
  std::string bytes;
  for (const char32_t c : text) {
    const auto push = [&](char32_t value) {
      bytes.push_back(static_cast<char>(static_cast<unsigned char>(value)));
    };
    if (c < 0x80) {
      push(c);
    } else if (c < 0x800) {
      push(0xC0U | (c >> 6U));
      push(0x80U | (c & 0x3FU));
    } else if (c < 0x10000) {
      push(0xE0U | (c >> 12U));
      push(0x80U | ((c >> 6U) & 0x3FU));
      push(0x80U | (c & 0x3FU));
    } else {
      push(0xF0U | (c >> 18U));
      push(0x80U | ((c >> 12U) & 0x3FU));
      push(0x80U | ((c >> 6U) & 0x3FU));
      push(0x80U | (c & 0x3FU));
    }
  }
  return bytes;
}

namespace icu_property {
bool is_letter(char32_t c) { return (U_GET_GC_MASK(static_cast<UChar32>(c)) & U_GC_L_MASK) != 0; }
bool is_number(char32_t c) { return (U_GET_GC_MASK(static_cast<UChar32>(c)) & U_GC_N_MASK) != 0; }
bool is_white_space(char32_t c) { return u_isUWhiteSpace(static_cast<UChar32>(c)) != 0; }
}  // namespace icu_property

bool is_word_character(char32_t c) {
  const auto code = static_cast<UChar32>(c);
  return u_hasBinaryProperty(code, UCHAR_ALPHABETIC) != 0 ||
         u_hasBinaryProperty(code, UCHAR_JOIN_CONTROL) != 0 ||
         (U_GET_GC_MASK(code) & (U_GC_M_MASK | U_GC_ND_MASK | U_GC_PC_MASK)) != 0;
}

std::u32string normalise_nfc(const std::u32string& text) {
  return normalise(text, &icu::Normalizer2::getNFCInstance);
}
std::u32string normalise_nfd(const std::u32string& text) {
  return normalise(text, &icu::Normalizer2::getNFDInstance);
}
std::u32string normalise_nfkd(const std::u32string& text) {
  return normalise(text, &icu::Normalizer2::getNFKDInstance);
}
std::u32string normalise_nfkc(const std::u32string& text) {
  return normalise(text, &icu::Normalizer2::getNFKCInstance);
}

std::u32string lower_full(const std::u32string& text) {
  icu::UnicodeString result = to_icu(text);
  result.toLower(icu::Locale::getRoot());
  return from_icu(result);
}

std::u32string lower_each(const std::u32string& text) {
  std::u32string result;
  for (const char32_t c : text) {
    if (c == U'\u0130') {  // the only character whose lower case has two
      result += U"i\u0307";
    } else {
      result.push_back(static_cast<char32_t>(u_tolower(static_cast<UChar32>(c))));
    }
  }
  return result;
}

std::vector<std::u32string_view> graphemes(std::u32string_view text) {
  UErrorCode status = U_ZERO_ERROR;
  const std::unique_ptr<icu::BreakIterator> breaks(
      icu::BreakIterator::createCharacterInstance(icu::Locale::getRoot(), status));
  if (U_FAILURE(status) != 0) throw Error("ICU has no data for grapheme clusters", 1);
  const icu::UnicodeString units = to_icu(std::u32string(text));
  breaks->setText(units);
  std::vector<std::u32string_view> parts;
  std::size_t at = 0;
  for (std::int32_t begin = breaks->first(), end = breaks->next(); end != icu::BreakIterator::DONE;
       begin = end, end = breaks->next()) {
    const auto length = static_cast<std::size_t>(units.countChar32(begin, end - begin));
    parts.push_back(text.substr(at, length));
    at += length;
  }
  return parts;
}

}  // namespace saferclip
