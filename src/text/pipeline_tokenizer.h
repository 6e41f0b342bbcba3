// A tokenizer with the stages of the tokenizers library: added tokens, normalizer, pre-tokenizer,
// model, begin and end tokens.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "saferclip/text/tokenizer.h"
#include "text/added_tokens.h"
#include "text/normalizer.h"
#include "text/subword_model.h"
#include "text/tokenizer_files.h"

namespace saferclip {

struct Pipeline {
  Normalizer normalizer;
  PreTokenizer pre_tokenizer;
  std::unique_ptr<SubwordModel> model;
  std::vector<AddedToken> added;  // with their ids
  TextSpec spec;                  // its cleaning runs first
  std::string fingerprint;
  TokenizerFiles files;
  bool is_clip = false;  // CLIP's published ids
};

std::unique_ptr<Tokenizer> make_pipeline_tokenizer(Pipeline pipeline);

}  // namespace saferclip
