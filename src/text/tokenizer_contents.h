// The vocabulary and the settings of a Hugging Face tokenizer folder.
#pragma once

#include <filesystem>
#include <string>

#include "text/tokenizer_folder.h"
#include "text/tokenizer_json.h"

namespace saferclip {

struct TokenizerContents {
  std::filesystem::path path;
  TokenizerSettings settings;
  TokenizerJson json;
  bool has_json = false;  // false: from vocab.json and merges.txt
  std::string json_text;
  std::string hash;

  bool is_clip() const { return json.bpe && json.bpe->end_of_word == "</w>"; }
  // A CLIP folder that names no class means transformers' CLIPTokenizer.
  bool has_clip_class() const {
    return settings.tokenizer_class == "CLIPTokenizer" ||
           (settings.tokenizer_class.empty() && is_clip());
  }
};

// Reads tokenizer.json, else vocab.json and merges.txt with the pipeline of transformers'
// CLIPTokenizer. Throws DataError with the file for an unsupported tokenizer_class, padding or
// truncation on the left, and damaged files.
TokenizerContents read_tokenizer_contents(const std::filesystem::path& folder);

// The text of the token with the role `key` ("pad_token"), or `fallback`.
std::string role_of(const TokenizerContents& contents, const char* key, const char* fallback);

}  // namespace saferclip
