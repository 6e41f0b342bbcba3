// Tokens are grouped by their first character, longest first, so that a caption without any costs
// one lookup per character. Order and rules (single_word, lstrip, rstrip) are those of the
// library's AddedVocabulary: a match that single_word rejects is skipped as a whole.
#include "text/added_tokens.h"

#include <algorithm>

#include "text/unicode.h"

namespace saferclip {

AddedTokens::AddedTokens(std::vector<AddedToken> tokens, const Normalizer& normalizer)
    : tokens_(std::move(tokens)) {
  for (const AddedToken& token : tokens_) {
    std::u32string text = decode_utf8(token.content);
    if (token.is_normalized) {
      normalized_.add(normalizer(std::move(text)), token);
    } else {
      raw_.add(std::move(text), token);
    }
  }
}

void AddedTokens::Matcher::add(std::u32string text, const AddedToken& token) {
  if (text.empty()) return;
  std::vector<Entry>& entries = by_first_[text[0]];
  const auto shorter = std::find_if(entries.begin(), entries.end(), [&](const Entry& other) {
    return other.text.size() < text.size();
  });
  entries.insert(shorter, {std::move(text), token});
}

const AddedTokens::Entry* AddedTokens::Matcher::longest_at(std::u32string_view text,
                                                           std::size_t position) const {
  const auto found = by_first_.find(text[position]);
  if (found == by_first_.end()) return nullptr;
  for (const Entry& entry : found->second) {
    if (text.substr(position).starts_with(entry.text)) return &entry;
  }
  return nullptr;
}

std::vector<Stretch> AddedTokens::Matcher::split(std::u32string_view text) const {
  std::vector<Stretch> stretches;
  std::size_t done = 0;
  for (std::size_t i = 0; i < text.size();) {
    const Entry* entry = by_first_.empty() ? nullptr : longest_at(text, i);
    if (entry == nullptr) {
      i = by_first_.empty() ? text.size() : i + 1;
      continue;
    }
    std::size_t begin = i;
    std::size_t end = i + entry->text.size();
    i = end;
    const AddedToken& token = entry->token;
    if (token.is_single_word && ((begin > 0 && is_word_character(text[begin - 1])) ||
                                 (end < text.size() && is_word_character(text[end]))))
      continue;
    while (token.strips_left && begin > done && is_white_space(text[begin - 1])) --begin;
    while (token.strips_right && end < text.size() && is_white_space(text[end])) ++end;
    if (begin > done) stretches.push_back({text.substr(done, begin - done), -1});
    stretches.push_back({text.substr(begin, end - begin), token.id});
    done = end;
    i = std::max(i, end);
  }
  if (done < text.size()) stretches.push_back({text.substr(done), -1});
  return stretches;
}

}  // namespace saferclip
