// Which reader a tokenizer's files are for.
#include "saferclip/core/error.h"
#include "saferclip/core/files.h"
#include "saferclip/core/text_format.h"
#include "saferclip/text/tokenizer.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

// A folder whose vocabulary cannot be read.
[[noreturn]] void refuse_folder(const fs::path& folder) {
  std::vector<std::string> found;
  for (const char* name : {"vocab.json", "merges.txt", "vocab.txt", "tokenizer_config.json",
                           "special_tokens_map.json", "added_tokens.json"}) {
    if (is_file(folder / name)) found.emplace_back(name);
  }
  throw ConfigError(
      cat(folder.string(), ": no tokenizer that can be read: found ",
          found.empty() ? "no tokenizer files" : join(found, ", "),
          "; expected tokenizer.json, vocab.json with merges.txt, spiece.model or "
          "tokenizer.model. Put the model's own tokenizer there, or set model.tokenizer "
          "to it (clip: CLIP's published vocabulary)"));
}

}  // namespace

std::unique_ptr<Tokenizer> load_tokenizer(const fs::path& place, std::int64_t context_length,
                                          TextCleaning cleaning) {
  std::error_code ignored;
  if (!fs::is_directory(place, ignored)) {
    if (place.filename() != "tokenizer.json")
      return load_sentencepiece_tokenizer(place, context_length, cleaning);
    const fs::path folder = place.has_parent_path() ? place.parent_path() : fs::path(".");
    return load_hugging_face_tokenizer(folder, context_length, cleaning);
  }
  const auto has = [&](const char* name) { return is_file(place / name); };
  const bool is_byte_pair = has("vocab.json") && has("merges.txt");
  // transformers' class for SigLIP reads spiece.model alone; all others take tokenizer.json first.
  if (has("spiece.model") && !is_byte_pair)
    return load_sentencepiece_tokenizer(place, context_length, cleaning);
  if (has("tokenizer.json") || is_byte_pair)
    return load_hugging_face_tokenizer(place, context_length, cleaning);
  if (has("tokenizer.model")) return load_sentencepiece_tokenizer(place, context_length, cleaning);
  refuse_folder(place);
}

}  // namespace saferclip
