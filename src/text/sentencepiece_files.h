// The JSON files of a Hugging Face folder beside a SentencePiece model: what they say, and new
// ones.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "saferclip/core/preprocessing.h"

namespace saferclip {

enum class SentencePieceKind { kSiglip, kGemma };

// A folder's own files, name and content, and what they decide.
struct SentencePieceFolder {
  std::vector<std::pair<std::string, std::string>> files;
  std::optional<SentencePieceKind>
      kind;               // none: its tokenizer_class is of neither kind, or missing
  std::string pad_token;  // "": not said
};

// tokenizer_config.json, special_tokens_map.json and tokenizer.json of `folder`, as far as they are
// there. Throws DataError: not a JSON object, a value of another type, begin marks, no end marks.
SentencePieceFolder read_sentencepiece_folder(const std::filesystem::path& folder);

// The texts of the special pieces, by what they are.
struct SpecialPieces {
  std::string pad, eos, bos, unk;  // bos: "" when there is none
};

// tokenizer_config.json and special_tokens_map.json for a model that came without. transformers'
// SiglipTokenizer cleans by itself; of the classes for Gemma's vocabulary Siglip2Tokenizer lowers
// (as the model was trained), GemmaTokenizer does not.
std::vector<std::pair<std::string, std::string>> sentencepiece_files(SentencePieceKind kind,
                                                                     const SpecialPieces& pieces,
                                                                     const TextSpec& spec);

}  // namespace saferclip
