// A tokenizer.json (tokenizers 0.23): what it says, part by part.
#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "text/added_tokens.h"
#include "text/normalizer.h"
#include "text/subword_model.h"

namespace saferclip {

// What the post_processor puts around a caption: entries with their ids.
struct Frame {
  std::vector<std::pair<std::string, std::int32_t>> before;
  std::vector<std::pair<std::string, std::int32_t>> after;
};

struct TokenizerJson {
  Normalizer normalizer;
  PreTokenizer pre_tokenizer;
  Frame frame;
  std::vector<AddedToken> added_tokens;
  std::string pad_token;  // of `padding`; "": not said
  std::optional<BpeSettings> bpe;
  std::optional<UnigramSettings> unigram;

  // Whether transformers' CLIPTokenizer, which takes vocabulary and merges alone out of the file,
  // does the same with them.
  bool is_clip_form() const {
    return normalizer.is_clip && pre_tokenizer.is_clip && bpe && bpe->end_of_word == "</w>" &&
           !bpe->has_byte_fallback && !bpe->ignores_merges;
  }
};

// Throws DataError that names the file and all parts of it that are not supported.
TokenizerJson read_tokenizer_json(const std::string& text, const std::filesystem::path& file);

// Entries and their ids, each of 0 … size - 1 once. Throws DataError naming `where`.
VocabularyIds read_vocabulary(const nlohmann::json& json, const std::string& where);

}  // namespace saferclip
