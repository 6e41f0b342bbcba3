// What the families want of pictures and captions.
#include "weights/sources.h"

namespace saferclip {
namespace fs = std::filesystem;

Preprocessing default_preprocessing(Family family) {
  Preprocessing p;
  if (family == Family::kSiglip) {
    p.resize_mode = ResizeMode::kSquash;
    p.mean = {0.5, 0.5, 0.5};
    p.std = {0.5, 0.5, 0.5};
  }
  return p;
}

TextCleaning default_cleaning(Family family, TextCleaning clip) {
  return family == Family::kSiglip ? TextCleaning::kSiglip : clip;
}

fs::path tokenizer_folder_in(const fs::path& folder) {
  for (const char* name : {"tokenizer.json", "vocab.json", "merges.txt", "vocab.txt",
                           "spiece.model", "tokenizer.model", "tokenizer_config.json",
                           "special_tokens_map.json", "added_tokens.json"}) {
    if (fs::exists(folder / name)) return folder;
  }
  return {};
}

}  // namespace saferclip
