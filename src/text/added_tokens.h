// Tokens that stand beside a tokenizer's vocabulary and are found in a caption before anything else
// is done to it, as the tokenizers library (0.23) finds them.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "text/normalizer.h"

namespace saferclip {

struct AddedToken {
  std::string content;
  std::int32_t id = -1;
  bool is_single_word = false;  // not inside of a word
  bool strips_left = false;     // takes the white space before it
  bool strips_right = false;
  bool is_normalized =
      false;  // looked for after the normalizer, which its content goes through too
  bool is_special = false;
  bool is_bare = false;  // written as text alone, without flags
};

// A stretch of a caption: a token, or the text between tokens.
struct Stretch {
  std::u32string_view text;
  std::int32_t id = -1;  // -1: text
};

class AddedTokens {
 public:
  AddedTokens() = default;
  AddedTokens(std::vector<AddedToken> tokens, const Normalizer& normalizer);

  // The longest token at the leftmost place, and so on. Of the raw caption those that are not
  // normalized, of normalized text the others.
  std::vector<Stretch> split_raw(std::u32string_view text) const { return raw_.split(text); }
  std::vector<Stretch> split_normalized(std::u32string_view text) const {
    return normalized_.split(text);
  }
  const std::vector<AddedToken>& tokens() const { return tokens_; }

 private:
  struct Entry {
    std::u32string text;
    AddedToken token;
  };
  class Matcher {
   public:
    void add(std::u32string text, const AddedToken& token);
    std::vector<Stretch> split(std::u32string_view text) const;

   private:
    const Entry* longest_at(std::u32string_view text, std::size_t position) const;
    std::unordered_map<char32_t, std::vector<Entry>> by_first_;  // longest first
  };

  std::vector<AddedToken> tokens_;
  Matcher raw_;
  Matcher normalized_;
};

}  // namespace saferclip
