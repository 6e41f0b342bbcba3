// Writes the files of a Hugging Face tokenizer folder.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "saferclip/core/preprocessing.h"
#include "text/added_tokens.h"
#include "text/subword_model.h"

namespace saferclip {

using TokenizerFiles = std::vector<std::pair<std::string, std::string>>;  // name, content

// A byte-level BPE as CLIP uses it, with the texts of its special tokens.
struct ClipVocabulary {
  const VocabularyIds& ids;  // including the special tokens
  const MergeList& merges;
  std::string bos = "<|startoftext|>";
  std::string eos = "<|endoftext|>";
  std::string pad = "<|endoftext|>";
  std::string unk = "<|endoftext|>";
};

std::string vocab_json(const VocabularyIds& ids);
std::string merges_txt(const MergeList& merges);
// `added`: the tokens to find in a caption.
std::string clip_tokenizer_json(const ClipVocabulary& vocabulary,
                                const std::vector<AddedToken>& added);
std::string clip_tokenizer_config(const ClipVocabulary& vocabulary, std::int64_t context_length);
std::string clip_special_tokens_map(const ClipVocabulary& vocabulary);

// All five.
TokenizerFiles clip_tokenizer_files(const ClipVocabulary& vocabulary, const TextSpec& spec);

}  // namespace saferclip
