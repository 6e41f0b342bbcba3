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
  // Ids with an end mark, and a begin mark where spec().bos_id is one, cut to the context length
  // with the end mark kept as the last id. Not padded, unless spec().is_padded: then exactly
  // context_length ids, filled up with pad_id on the right. `caption` is UTF-8; malformed bytes are
  // replaced as Python's "replace" handler does. `is_cut` receives whether the context was too
  // short.
  virtual std::vector<std::int32_t> encode(std::string_view caption,
                                           bool* is_cut = nullptr) const = 0;
  virtual const TextSpec& spec() const = 0;
  // Whether the ids are those of CLIP's published vocabulary, which every client has built in.
  virtual bool is_clip() const { return false; }
  // Everything that decides the ids, for cache keys.
  virtual const std::string& fingerprint() const = 0;
  // Files of a Hugging Face tokenizer folder as name and content, for exports: vocab.json,
  // merges.txt, tokenizer_config.json, special_tokens_map.json, tokenizer.json; of SentencePiece
  // see load_sentencepiece_tokenizer.
  virtual std::vector<std::pair<std::string, std::string>> hugging_face_files() const = 0;
};

// CLIP's byte-level BPE from `bpe_simple_vocab_16e6.txt.gz` (gzip or plain text).
// Throws DataError when the file is not that vocabulary (SHA-256 of the file is checked).
std::unique_ptr<Tokenizer> load_clip_tokenizer(const std::filesystem::path& vocabulary,
                                               std::int64_t context_length, TextCleaning cleaning);

// The tokenizer of a Hugging Face folder: `tokenizer.json`, or without one `vocab.json` and
// `merges.txt`, with what `tokenizer_config.json` and, as transformers 5 reads them,
// `special_tokens_map.json` and `added_tokens.json` say. Its ids are those of transformers 5 and of
// the tokenizers library 0.23; where the two differ, and for a part of the file that is not known,
// it is refused. A byte-level BPE with "</w>" is CLIP's kind; a unigram model or another BPE is
// SigLIP's, whose captions are padded.
// Throws DataError naming the file and the entry or part that does not fit.
std::unique_ptr<Tokenizer> load_hugging_face_tokenizer(const std::filesystem::path& folder,
                                                       std::int64_t context_length,
                                                       TextCleaning cleaning);

// SigLIP's and SigLIP 2's tokenizers: a SentencePiece model file, or a folder with `spiece.model`
// or `tokenizer.model` and, when there, `tokenizer_config.json`, `special_tokens_map.json` and
// `tokenizer.json`. Which of the two it is follows from the ids in the model file; a
// `tokenizer_class` that says otherwise is an error.
//   SigLIP: unigram, no begin mark; the end mark (id 1) pads, or the `pad_token` of the folder.
//   SigLIP 2 (Gemma's vocabulary): byte pair encoding, <pad> 0, <eos> 1, <bos> 2 (not used).
// spec().is_padded is true. Cleaning:
//   kSiglip: lower case (str.lower()), without ASCII punctuation, white space to single spaces,
//     as canonicalize_text of transformers' SiglipTokenizer. SigLIP's ids are those of that class
//     (its marks written in a caption are marks); SigLIP 2's are open_clip's, whose HFTokenizer
//     cleans so before Gemma's tokenizer runs.
//   kCanonicalize, kWhitespace, kOpenAi: open_clip's clean functions, then the model file.
//   kNone: what the model file does itself. SigLIP 2's ids are those of transformers'
//     GemmaTokenizer, which neither lowers nor strips although the model was trained so.
// hugging_face_files(): the model file under the name its class reads, and the folder's own JSON
// files; without a tokenizer_config.json of its own, new ones. docs/tokenizer.md lists where the
// clients differ.
// Throws DataError: no such file, not a SentencePiece model of one of the
// two kinds, a damaged one, a setting that SigLIP does not have; ConfigError for other cleanings.
std::unique_ptr<Tokenizer> load_sentencepiece_tokenizer(
    const std::filesystem::path& model_or_folder, std::int64_t context_length,
    TextCleaning cleaning);

// The one of the two above that fits, by what transformers 5 takes first: tokenizer.json, but for
// SigLIP's spiece.model; then vocab.json with merges.txt, tokenizer.model. A file is a
// tokenizer.json by its name, else SentencePiece. Throws ConfigError for a folder with tokenizer
// files of which none is a vocabulary.
std::unique_ptr<Tokenizer> load_tokenizer(const std::filesystem::path& place,
                                          std::int64_t context_length, TextCleaning cleaning);

}  // namespace saferclip
