// The vocabulary and the settings of a Hugging Face tokenizer folder, read together.
#pragma once

#include <filesystem>
#include <string>

#include "text/tokenizer_folder.h"
#include "text/tokenizer_json.h"

namespace saferclip {

// Everything a folder holds about its tokenizer.
struct TokenizerContents {
  std::filesystem::path path;
  TokenizerSettings settings;
  TokenizerJson json;
  bool has_json = false;  // else from vocab.json and merges.txt
  std::string json_text;
  std::string hash;

  bool is_clip() const { return json.bpe && json.bpe->end_of_word == "</w>"; }
  // transformers' CLIPTokenizer is what a CLIP's folder means when it does not name a class.
  bool has_clip_class() const {
    return settings.tokenizer_class == "CLIPTokenizer" ||
           (settings.tokenizer_class.empty() && is_clip());
  }
};

// tokenizer.json, or without one vocab.json and merges.txt in the pipeline that transformers'
// CLIPTokenizer builds around them. Throws DataError naming the file and what does not fit: a
// tokenizer_class of another kind, filling up on the left, a damaged vocabulary.
TokenizerContents read_tokenizer_contents(const std::filesystem::path& folder);

// The content of the token with a role ("pad_token"), or `fallback`.
std::string role_of(const TokenizerContents& contents, const char* key, const char* fallback);

}  // namespace saferclip
