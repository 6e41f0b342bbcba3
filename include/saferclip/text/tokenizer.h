// Captions to token ids.
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
  // Ids with begin and end marks, cut to the context length with the end mark kept as the last id;
  // not padded. `caption` is UTF-8; malformed bytes are replaced as Python's "replace" handler
  // does.
  virtual std::vector<std::int32_t> encode(std::string_view caption) const = 0;
  virtual const TextSpec& spec() const = 0;
  // Everything that decides the ids, for cache keys.
  virtual const std::string& fingerprint() const = 0;
  // Files of a Hugging Face tokenizer folder (vocab.json, merges.txt, tokenizer_config.json,
  // special_tokens_map.json, tokenizer.json) as name and content, for exports.
  virtual std::vector<std::pair<std::string, std::string>> hugging_face_files() const = 0;
};

// CLIP's byte-level BPE from `bpe_simple_vocab_16e6.txt.gz` (gzip or plain text).
// Throws DataError when the file is not that vocabulary (SHA-256 of the file is checked).
std::unique_ptr<Tokenizer> load_clip_tokenizer(const std::filesystem::path& vocabulary,
                                               std::int64_t context_length, TextCleaning cleaning);

// A byte-level BPE from `vocab.json` and `merges.txt` (and `tokenizer_config.json` when there) of a
// Hugging Face folder. The special tokens are the last entries and EOT has the largest id.
// Throws DataError naming the file and the entry that does not fit.
std::unique_ptr<Tokenizer> load_hugging_face_tokenizer(const std::filesystem::path& folder,
                                                       std::int64_t context_length,
                                                       TextCleaning cleaning);

}  // namespace saferclip
