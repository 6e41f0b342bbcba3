// Tokens added to a tokenizer's vocabulary. They are found in a caption before it is tokenized, as
// the tokenizers library (0.23) does it.
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
  bool is_single_word = false;  // does not match inside a word
  bool strips_left = false;     // includes the white space before it
  bool strips_right = false;
  bool is_normalized = false;  // content and text are compared after normalization
  bool is_special = false;
  bool is_bare = false;  // written as plain text, without flags
};

// A section of a caption: a token, or the text between tokens.
struct Stretch {
  std::u32string_view text;
  std::int32_t id = -1;  // -1: text
};

class AddedTokens {
 public:
  AddedTokens() = default;
  AddedTokens(std::vector<AddedToken> tokens, const Normalizer& normalizer);

  // Finds the leftmost, longest token, and continues after it: tokens that are not normalized in
  // the raw caption, the others in normalized text.
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
