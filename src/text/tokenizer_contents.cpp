// Reads all that a Hugging Face folder says about its tokenizer. vocab.json and merges.txt have no
// pipeline of their own; CLIPTokenizer's is built from the same JSON that a tokenizer.json would
// contain, so that both forms run through one reader.
#include "text/tokenizer_contents.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "saferclip/core/error.h"
#include "saferclip/core/files.h"
#include "saferclip/core/hash.h"
#include "saferclip/core/text_format.h"
#include "saferclip/core/untrusted_text.h"
#include "text/merge_file.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

using Json = nlohmann::json;

constexpr std::size_t kMaxMerges = 1 << 24;

// The pipeline of CLIPTokenizer around vocab.json and merges.txt.
TokenizerJson clip_pipeline(VocabularyIds vocabulary, MergeList merges,
                            const std::string& unknown) {
  std::vector<std::string> problems;
  TokenizerJson json;
  json.normalizer =
      read_normalizer({{"type", "Sequence"},
                       {"normalizers",
                        {{{"type", "NFC"}},
                         {{"type", "Replace"}, {"pattern", {{"Regex", "\\s+"}}}, {"content", " "}},
                         {{"type", "Lowercase"}}}}},
                      problems);
  json.pre_tokenizer = read_pre_tokenizer(
      {{"type", "Sequence"},
       {"pretokenizers",
        {{{"type", "Split"},
          {"pattern",
           {{"Regex", "'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+"}}},
          {"behavior", "Removed"},
          {"invert", true}},
         {{"type", "ByteLevel"}, {"add_prefix_space", false}}}}},
      problems);
  json.bpe =
      BpeSettings{std::move(vocabulary), std::move(merges), "</w>", unknown, false, false, false};
  return json;
}

}  // namespace

std::string role_of(const TokenizerContents& folder, const char* key, const char* fallback) {
  const auto found = folder.settings.named.find(key);
  return found == folder.settings.named.end() ? fallback : found->second.content;
}

namespace {

// The transformers classes whose folders are supported.
void require_known_class(const TokenizerContents& folder) {
  static const std::vector<std::string> kKnown{"",
                                               "CLIPTokenizer",
                                               "TokenizersBackend",
                                               "PreTrainedTokenizer",
                                               "SiglipTokenizer",
                                               "T5Tokenizer",
                                               "GemmaTokenizer",
                                               "Siglip2Tokenizer"};
  const std::string& name = folder.settings.tokenizer_class;
  if (std::find(kKnown.begin(), kKnown.end(), name) != kKnown.end()) return;
  throw DataError(cat((folder.path / "tokenizer_config.json").string(), ": tokenizer_class \"",
                      name,
                      "\" is not supported; known: CLIPTokenizer, SiglipTokenizer, T5Tokenizer, "
                      "GemmaTokenizer, Siglip2Tokenizer, TokenizersBackend; set model.tokenizer to "
                      "the model's own tokenizer"));
}

Json config_of(const TokenizerContents& folder) {
  for (const auto& [name, text] : folder.settings.files) {
    if (name == "tokenizer_config.json") return parse_json_file(text, folder.path / name);
  }
  return Json::object();
}

// Captions are truncated and padded on the right.
void refuse_left_side(const TokenizerContents& folder) {
  const Json config = config_of(folder);
  for (const char* key : {"padding_side", "truncation_side"}) {
    const Json value = config.value(key, Json());
    if (value.is_null() || value == "right") continue;
    throw DataError(cat((folder.path / "tokenizer_config.json").string(), ": ", key, ": ",
                        value.dump(),
                        " is not supported, expected \"right\": the model's captions "
                        "start at the first position; correct the file"));
  }
}

}  // namespace

TokenizerContents read_tokenizer_contents(const fs::path& path) {
  TokenizerContents folder;
  folder.path = path;
  folder.settings = read_tokenizer_settings(path);
  require_known_class(folder);
  refuse_left_side(folder);
  Sha256 hash;
  for (const auto& [name, text] : folder.settings.files) hash.add(name).add(text);
  if (const fs::path file = path / "tokenizer.json"; is_file(file)) {
    folder.json_text = read_file(file);
    folder.json = read_tokenizer_json(folder.json_text, file);
    folder.has_json = true;
    folder.hash = hash.add(folder.json_text).hex();
    return folder;
  }
  const fs::path vocabulary_file = path / "vocab.json";
  const fs::path merges_file = path / "merges.txt";
  const std::string vocabulary = read_file(vocabulary_file);
  const std::string merges = read_file(merges_file);
  const std::string_view bytes =
      std::string_view(vocabulary).substr(vocabulary.starts_with("\xEF\xBB\xBF") ? 3 : 0);
  const Json json = is_nested_deeper(bytes, 1) ? Json() : Json::parse(bytes, nullptr, false);
  VocabularyIds ids = read_vocabulary(json, vocabulary_file.string());
  std::string unknown = role_of(folder, "unk_token", "<|endoftext|>");
  if (!ids.contains(unknown)) unknown.clear();
  folder.json =
      clip_pipeline(std::move(ids), read_merge_lines(merges, merges_file, kMaxMerges), unknown);
  folder.hash = hash.add(vocabulary).add(merges).hex();
  return folder;
}

}  // namespace saferclip
