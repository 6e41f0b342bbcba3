// CLIP's word pattern by hand instead of by a regex engine: it is fixed, and it is on the path of
// every caption. A tokenizer.json states the pattern as text, possibly with special tokens before
// it, so it is recognized by its text.
#include "text/lexer.h"

namespace saferclip {

std::optional<std::vector<std::u32string>> clip_pattern_marks(std::string_view regex) {
  constexpr std::string_view kRest =
      "'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+";
  if (!regex.ends_with(kRest)) return std::nullopt;
  regex.remove_suffix(kRest.size());
  std::vector<std::u32string> marks;
  std::string mark;
  for (std::size_t i = 0; i < regex.size(); ++i) {
    const bool is_escaped = regex[i] == '\\' && i + 1 < regex.size();
    if (is_escaped) ++i;
    if (regex[i] == '|' && !is_escaped) {
      if (mark.empty()) return std::nullopt;
      marks.push_back(decode_utf8(mark));
      mark.clear();
    } else if (!is_escaped &&
               std::string_view("[](){}.*+?^$").find(regex[i]) != std::string::npos) {
      return std::nullopt;  // more than a plain token
    } else {
      mark.push_back(regex[i]);
    }
  }
  if (!mark.empty()) return std::nullopt;
  return marks;
}

void cut_clip_words(std::u32string_view text, const std::vector<std::u32string>& marks,
                    std::vector<std::u32string>& words) {
  for (std::size_t i = 0; i < text.size();) {
    if (is_white_space(text[i])) {
      ++i;
      continue;
    }
    std::size_t end = 0;
    for (const std::u32string& mark : marks) {
      if (end == 0 && text.substr(i).starts_with(mark)) end = i + mark.size();
    }
    if (end == 0) end = match_word(text, i, false);
    words.emplace_back(text.substr(i, end - i));
    i = end;
  }
}

}  // namespace saferclip
