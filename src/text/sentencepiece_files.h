// The JSON files next to a SentencePiece model in a Hugging Face folder: reading them, and writing
// new ones.
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

// A folder's own files (name, content) and the settings in them.
struct SentencePieceFolder {
  std::vector<std::pair<std::string, std::string>> files;
  std::optional<SentencePieceKind> kind;  // by tokenizer_class; none if missing or of neither kind
  std::string pad_token;                  // "" if missing
};

// Reads tokenizer_config.json, special_tokens_map.json and tokenizer.json of `folder`, each if it
// exists. Throws DataError for malformed JSON, values of a wrong type, and settings that add begin
// tokens or leave out end tokens.
SentencePieceFolder read_sentencepiece_folder(const std::filesystem::path& folder);

// The texts of the special pieces.
struct SpecialPieces {
  std::string pad, eos, bos, unk;  // bos: "" if there is none
};

// tokenizer_config.json and special_tokens_map.json for a model without them. The class follows
// from spec.cleaning: with Gemma's vocabulary, Siglip2Tokenizer lowers (as in the model's training)
// and GemmaTokenizer does not; SiglipTokenizer always cleans.
std::vector<std::pair<std::string, std::string>> sentencepiece_files(SentencePieceKind kind,
                                                                     const SpecialPieces& pieces,
                                                                     const TextSpec& spec);

}  // namespace saferclip
