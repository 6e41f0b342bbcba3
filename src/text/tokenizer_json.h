// The parts of a tokenizer.json (tokenizers 0.23).
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

// The tokens (text, id) that the post_processor adds around a caption.
struct Frame {
  std::vector<std::pair<std::string, std::int32_t>> before;
  std::vector<std::pair<std::string, std::int32_t>> after;
};

struct TokenizerJson {
  Normalizer normalizer;
  PreTokenizer pre_tokenizer;
  Frame frame;
  std::vector<AddedToken> added_tokens;
  std::string pad_token;  // of `padding`; "" if missing
  std::optional<BpeSettings> bpe;
  std::optional<UnigramSettings> unigram;

  // Whether transformers' CLIPTokenizer, which takes only vocabulary and merges from the file,
  // builds an equal pipeline.
  bool is_clip_form() const {
    return normalizer.is_clip && pre_tokenizer.is_clip && bpe && bpe->end_of_word == "</w>" &&
           !bpe->has_byte_fallback && !bpe->ignores_merges;
  }
};

// Throws DataError with the file and all its unsupported parts.
TokenizerJson read_tokenizer_json(const std::string& text, const std::filesystem::path& file);

// Entries and ids, which must be 0 … size - 1, each once. Throws DataError with `where`.
VocabularyIds read_vocabulary(const nlohmann::json& json, const std::string& where);

}  // namespace saferclip
