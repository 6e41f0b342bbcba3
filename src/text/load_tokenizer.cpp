// Chooses the reader for a tokenizer's files in the order in which transformers 5 looks for them,
// because that decides which ids a folder with several vocabularies means. A folder without any is
// refused with a list of what was found.
#include "saferclip/core/error.h"
#include "saferclip/core/files.h"
#include "saferclip/core/text_format.h"
#include "saferclip/text/tokenizer.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

// A folder without a vocabulary.
[[noreturn]] void refuse_folder(const fs::path& folder) {
  std::vector<std::string> found;
  for (const char* name : {"vocab.json", "merges.txt", "vocab.txt", "tokenizer_config.json",
                           "special_tokens_map.json", "added_tokens.json"}) {
    if (is_file(folder / name)) found.emplace_back(name);
  }
  throw ConfigError(
      cat(folder.string(), ": no usable tokenizer: found ",
          found.empty() ? "no tokenizer files" : join(found, ", "),
          "; expected tokenizer.json, vocab.json with merges.txt, spiece.model or "
          "tokenizer.model. Put the model's own tokenizer there, or set model.tokenizer "
          "to it (clip: CLIP's published vocabulary)"));
}

}  // namespace

std::unique_ptr<Tokenizer> load_tokenizer(const fs::path& location, std::int64_t context_length,
                                          TextCleaning cleaning) {
  std::error_code ignored;
  if (!fs::is_directory(location, ignored)) {
    if (location.filename() != "tokenizer.json")
      return load_sentencepiece_tokenizer(location, context_length, cleaning);
    const fs::path folder = location.has_parent_path() ? location.parent_path() : fs::path(".");
    return load_hugging_face_tokenizer(folder, context_length, cleaning);
  }
  const auto has = [&](const char* name) { return is_file(location / name); };
  const bool is_byte_pair = has("vocab.json") && has("merges.txt");
  // transformers' SiglipTokenizer reads spiece.model alone; all other classes prefer
  // tokenizer.json.
  if (has("spiece.model") && !is_byte_pair)
    return load_sentencepiece_tokenizer(location, context_length, cleaning);
  if (has("tokenizer.json") || is_byte_pair)
    return load_hugging_face_tokenizer(location, context_length, cleaning);
  if (has("tokenizer.model"))
    return load_sentencepiece_tokenizer(location, context_length, cleaning);
  refuse_folder(location);
}

}  // namespace saferclip
