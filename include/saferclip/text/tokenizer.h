// From captions to token ids.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "saferclip/core/preprocessing.h"

namespace saferclip {

// Thread-safe after construction.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  // The ids with an end token, and a begin token if spec().bos_id is not -1, truncated to the
  // context length with the end token kept last. Padded with pad_id on the right to exactly
  // context_length if spec().is_padded, else not padded. `caption` is UTF-8; malformed bytes are
  // replaced as by Python's "replace" handler. `is_cut`, if not null, receives whether the caption
  // was truncated.
  virtual std::vector<std::int32_t> encode(std::string_view caption,
                                           bool* is_cut = nullptr) const = 0;
  virtual const TextSpec& spec() const = 0;
  // Whether the ids are those of CLIP's published vocabulary, which all clients have built in.
  virtual bool is_clip() const { return false; }
  // Identifies everything that determines the ids, for cache keys.
  virtual const std::string& fingerprint() const = 0;
  // The files (name, content) of a Hugging Face tokenizer folder for exports: vocab.json,
  // merges.txt, tokenizer_config.json, special_tokens_map.json, tokenizer.json; for SentencePiece
  // see load_sentencepiece_tokenizer.
  virtual std::vector<std::pair<std::string, std::string>> hugging_face_files() const = 0;
};

// CLIP's byte-level BPE from `bpe_simple_vocab_16e6.txt.gz` (gzip or plain text).
// Throws DataError if the file is not that vocabulary (checks its SHA-256).
std::unique_ptr<Tokenizer> load_clip_tokenizer(const std::filesystem::path& vocabulary,
                                               std::int64_t context_length, TextCleaning cleaning);

// The tokenizer of a Hugging Face folder: `tokenizer.json`, else `vocab.json` with `merges.txt`;
// together with `tokenizer_config.json` and, to the extent that transformers 5 reads them,
// `special_tokens_map.json` and `added_tokens.json`. The ids equal those of transformers 5 and of
// the tokenizers library 0.23; a folder on which these differ, or with an unknown part, is refused.
// A byte-level BPE with "</w>" is treated as CLIP's; a unigram model or another BPE as SigLIP's,
// with padded captions. Throws DataError with the file and the offending entry or part.
std::unique_ptr<Tokenizer> load_hugging_face_tokenizer(const std::filesystem::path& folder,
                                                       std::int64_t context_length,
                                                       TextCleaning cleaning);

// The tokenizers of SigLIP and SigLIP 2: a SentencePiece model file, or a folder with
// `spiece.model` or `tokenizer.model` and optionally `tokenizer_config.json`,
// `special_tokens_map.json` and `tokenizer.json`. The special ids in the model file determine which
// of the two it is; a `tokenizer_class` that contradicts them is an error.
//   SigLIP: unigram, no begin token; pads with the end token (id 1) or the folder's `pad_token`.
//   SigLIP 2 (Gemma's vocabulary): byte pair encoding, <pad> 0, <eos> 1, <bos> 2 (not used).
// spec().is_padded is true. Cleaning:
//   kSiglip: lower case (str.lower()), ASCII punctuation removed, white space collapsed, as
//     canonicalize_text of transformers' SiglipTokenizer. SigLIP's ids equal that class's (special
//     tokens written in a caption count as such); SigLIP 2's equal open_clip's, whose HFTokenizer
//     cleans like this before Gemma's tokenizer runs.
//   kCanonicalize, kWhitespace, kOpenAi: open_clip's clean functions, then the model.
//   kNone: only the model's own normalization. SigLIP 2's ids equal those of transformers'
//     GemmaTokenizer, which neither lowers nor strips, although the model was trained on such text.
// hugging_face_files(): the model file under the name that its class reads and the folder's own
// JSON files, or new ones if it has no tokenizer_config.json. docs/tokenizer.md lists where clients
// differ. Throws DataError for a missing or damaged file, a model of neither kind, and a setting
// that SigLIP does not support; ConfigError for other cleanings.
std::unique_ptr<Tokenizer> load_sentencepiece_tokenizer(
    const std::filesystem::path& model_or_folder, std::int64_t context_length,
    TextCleaning cleaning);

// Loads a folder by what transformers 5 prefers: spiece.model for SigLIP, else tokenizer.json, then
// vocab.json with merges.txt, then tokenizer.model. A file named tokenizer.json stands for its
// folder; any other file is a SentencePiece model. Throws as the two functions above, and
// ConfigError for a folder without a vocabulary.
std::unique_ptr<Tokenizer> load_tokenizer(const std::filesystem::path& location,
                                          std::int64_t context_length, TextCleaning cleaning);

}  // namespace saferclip
