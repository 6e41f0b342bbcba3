// The files of a Hugging Face tokenizer folder.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "saferclip/core/preprocessing.h"
#include "text/byte_pair_encoder.h"

namespace saferclip {

// vocab.json, merges.txt, tokenizer_config.json, special_tokens_map.json, tokenizer.json: name,
// content.
std::vector<std::pair<std::string, std::string>> tokenizer_files(const BytePairEncoder& encoder,
                                                                 const TextSpec& spec);

}  // namespace saferclip
