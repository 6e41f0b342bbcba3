// The words that CLIP's pattern matches in a text:
//   's|'t|'re|'ve|'m|'ll|'d | \p{L}+ | \p{N} | [^\s\p{L}\p{N}]+
#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/unicode.h"

namespace saferclip {

// The end of the contraction ("'s", "'t", …) at `position`, or `position` if there is none. If case
// is ignored, long s (U+017F) folds to s as well.
template <class Text>
std::size_t match_contraction(Text text, std::size_t position, bool ignores_case) {
  static constexpr std::string_view kContractions[] = {"s", "t", "re", "ve", "m", "ll", "d"};
  const Text rest = text.substr(position + 1);
  for (const std::string_view contraction : kContractions) {
    if (rest.size() >= contraction.size() &&
        std::equal(contraction.begin(), contraction.end(), rest.begin(), [&](char a, auto b) {
          const auto c = static_cast<char32_t>(b);
          const bool is_capital = ignores_case && c >= U'A' && c <= U'Z';
          return static_cast<char32_t>(a) == (is_capital ? c + (U'a' - U'A') : c);
        }))
      return position + 1 + contraction.size();
  }
  const bool is_long_s =
      ignores_case && !rest.empty() && static_cast<char32_t>(rest.front()) == U'\u017F';
  return position + (is_long_s ? 2 : 0);
}

// The end of the pattern's match at `position`, which is not white space; alternatives are tried in
// order. `text`: ASCII or code points.
template <class Text>
std::size_t match_word(Text text, std::size_t position, bool ignores_case) {
  const auto at = [&](std::size_t i) { return static_cast<char32_t>(text[i]); };
  if (at(position) == U'\'') {
    const std::size_t end = match_contraction(text, position, ignores_case);
    if (end > position) return end;
  }
  std::size_t end = position + 1;
  if (is_letter(at(position))) {
    while (end < text.size() && is_letter(at(end))) ++end;
  } else if (!is_number(at(position))) {
    while (end < text.size() && !is_white_space(at(end)) && !is_letter(at(end)) &&
           !is_number(at(end)))
      ++end;
  }
  return end;
}

// The special tokens that precede CLIP's pattern in `regex` as alternatives
// ("<\|startoftext\|>|…"); no value if `regex` is not CLIP's pattern.
std::optional<std::vector<std::u32string>> clip_pattern_marks(std::string_view regex);

// Appends the words of `text`; `marks` match before the pattern.
void cut_clip_words(std::u32string_view text, const std::vector<std::u32string>& marks,
                    std::vector<std::u32string>& words);

}  // namespace saferclip
