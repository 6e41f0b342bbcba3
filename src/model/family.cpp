// What the families want of pictures and captions.
#include "model/sources.h"

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
  const auto has = [&](const char* name) { return fs::exists(folder / name); };
  const bool is_there =
      (has("vocab.json") && has("merges.txt")) || has("spiece.model") || has("tokenizer.model");
  return is_there ? folder : fs::path();
}

}  // namespace saferclip
