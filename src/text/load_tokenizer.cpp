// What a folder's tokenizer files are, read as transformers 5 and the tokenizers library read them.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "saferclip/core/error.h"
#include "saferclip/core/files.h"
#include "saferclip/core/hash.h"
#include "saferclip/core/text_format.h"
#include "saferclip/text/tokenizer.h"
#include "text/merge_file.h"
#include "text/pipeline_tokenizer.h"
#include "text/tokenizer_folder.h"
#include "text/tokenizer_json.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

using Json = nlohmann::json;

// SHA-256 of the merges.txt that CLIP's published vocabulary gives.
constexpr const char* kClipMerges =
    "9fd691f7c8039210e0fced15865466c65820d09b63988b0174bfe25de299051a";
constexpr std::size_t kMostMerges = 1 << 24;

// Everything a folder holds about its tokenizer.
struct Folder {
  fs::path path;
  TokenizerSettings settings;
  TokenizerJson json;
  bool has_json = false;  // else from vocab.json and merges.txt
  std::string json_text;
  std::string hash;

  bool is_clip() const { return json.bpe && json.bpe->end_of_word == "</w>"; }
  // transformers' CLIPTokenizer is what a CLIP's folder means when it does not name a class.
  bool has_clip_class() const {
    return settings.tokenizer_class == "CLIPTokenizer" ||
           (settings.tokenizer_class.empty() && is_clip());
  }
};

// The pipeline that CLIPTokenizer builds around vocab.json and merges.txt.
TokenizerJson clip_pipeline(VocabularyIds vocabulary, MergeList merges, const std::string& unknown) {
  std::vector<std::string> problems;
  TokenizerJson json;
  json.normalizer = read_normalizer(
      {{"type", "Sequence"},
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
  json.bpe = BpeSettings{std::move(vocabulary), std::move(merges), "</w>", unknown, false, false, false};
  return json;
}

std::string role(const Folder& folder, const char* key, const char* fallback) {
  const auto found = folder.settings.named.find(key);
  return found == folder.settings.named.end() ? fallback : found->second.content;
}

// Classes of transformers whose folders are understood here.
void require_known_class(const Folder& folder) {
  static const std::vector<std::string> kKnown{
      "",           "CLIPTokenizer", "TokenizersBackend", "PreTrainedTokenizer", "SiglipTokenizer",
      "T5Tokenizer", "GemmaTokenizer", "Siglip2Tokenizer"};
  const std::string& name = folder.settings.tokenizer_class;
  if (std::find(kKnown.begin(), kKnown.end(), name) != kKnown.end()) return;
  throw DataError(cat((folder.path / "tokenizer_config.json").string(), ": tokenizer_class \"", name,
                      "\" is not supported; known: CLIPTokenizer, SiglipTokenizer, T5Tokenizer, "
                      "GemmaTokenizer, Siglip2Tokenizer, TokenizersBackend; set model.tokenizer to "
                      "the model's own tokenizer"));
}

Json config_of(const Folder& folder) {
  for (const auto& [name, text] : folder.settings.files) {
    if (name == "tokenizer_config.json") return parse_json_file(text, folder.path / name);
  }
  return Json::object();
}

// Captions are cut and filled up on the right.
void refuse_left_side(const Folder& folder) {
  const Json config = config_of(folder);
  for (const char* key : {"padding_side", "truncation_side"}) {
    const Json value = config.value(key, Json());
    if (value.is_null() || value == "right") continue;
    throw DataError(cat((folder.path / "tokenizer_config.json").string(), ": ", key, ": ",
                        value.dump(), " is not supported, expected \"right\": the model's captions "
                        "start at the first position; correct the file"));
  }
}

Folder read_folder(const fs::path& path) {
  Folder folder;
  folder.path = path;
  folder.settings = read_tokenizer_settings(path);
  require_known_class(folder);
  Sha256 hash;
  for (const auto& [name, text] : folder.settings.files) hash.part(name).part(text);
  if (const fs::path file = path / "tokenizer.json"; is_file(file)) {
    folder.json_text = read_file(file);
    folder.json = read_tokenizer_json(folder.json_text, file);
    folder.has_json = true;
    folder.hash = hash.part(folder.json_text).hex();
    return folder;
  }
  const fs::path vocabulary_file = path / "vocab.json";
  const fs::path merges_file = path / "merges.txt";
  const std::string vocabulary = read_file(vocabulary_file);
  const std::string merges = read_file(merges_file);
  const std::string_view bytes = std::string_view(vocabulary).substr(
      vocabulary.starts_with("\xEF\xBB\xBF") ? 3 : 0);
  const Json json = is_nested_deeper(bytes, 1) ? Json() : Json::parse(bytes, nullptr, false);
  VocabularyIds ids = read_vocabulary(json, vocabulary_file.string());
  std::string unknown = role(folder, "unk_token", "<|endoftext|>");
  if (!ids.contains(unknown)) unknown.clear();
  folder.json = clip_pipeline(std::move(ids), read_merge_lines(merges, merges_file, kMostMerges),
                              unknown);
  folder.hash = hash.part(vocabulary).part(merges).hex();
  return folder;
}

// The tokens that are looked for in a caption, in the order in which transformers adds them.
std::vector<AddedToken> added_in_order(const Folder& folder) {
  std::vector<AddedToken> tokens;
  const auto add = [&](const AddedToken& token) {
    const bool is_there = std::any_of(tokens.begin(), tokens.end(), [&](const AddedToken& other) {
      return other.content == token.content;
    });
    if (!is_there && !token.content.empty()) tokens.push_back(token);
  };
  const TokenizerSettings& settings = folder.settings;
  if (folder.has_json && !folder.has_clip_class()) {
    for (const AddedToken& token : folder.json.added_tokens) add(token);
  }
  std::vector<AddedToken> listed = settings.added;
  if (folder.has_json && !settings.lists_added) {
    // The vocabulary file's tokens come after the others, and win where one id is told twice.
    for (const AddedToken& token : folder.json.added_tokens) {
      std::erase_if(listed, [&](const AddedToken& other) { return other.id == token.id; });
      listed.push_back(token);
    }
    std::stable_sort(listed.begin(), listed.end(),
                     [](const AddedToken& a, const AddedToken& b) { return a.id < b.id; });
  }
  for (const AddedToken& token : listed) add(token);
  for (const char* key : {"bos_token", "eos_token", "unk_token", "sep_token", "pad_token",
                          "cls_token", "mask_token"}) {
    if (const auto found = settings.named.find(key); found != settings.named.end()) {
      add(found->second);
    } else if (folder.has_clip_class() && std::string_view("sep_token cls_token mask_token").find(key) ==
                                              std::string_view::npos) {
      AddedToken token;
      token.content = std::string_view(key) == "bos_token" ? "<|startoftext|>" : "<|endoftext|>";
      token.is_special = true;
      add(token);
    }
  }
  for (const AddedToken& token : settings.further) add(token);
  return tokens;
}

// Entries of the vocabulary keep their ids; the others follow behind it.
void number(std::vector<AddedToken>& tokens, const SubwordModel& model, const Folder& folder) {
  auto next = static_cast<std::int32_t>(model.size());
  for (AddedToken& token : tokens) {
    const auto own = model.id_of(token.content);
    const std::int32_t id = own ? *own : next++;
    if (token.id >= 0 && token.id != id) {
      throw DataError(cat(folder.path.string(), ": the added token \"", token.content, "\" has id ",
                          token.id, ", but transformers and the tokenizers library give it ", id,
                          "; save the folder again with its tokenizer's save_pretrained"));
    }
    token.id = id;
  }
}

std::int64_t id_of(const Folder& folder, const SubwordModel& model,
                   const std::vector<AddedToken>& tokens, const std::string& content,
                   const char* key) {
  for (const AddedToken& token : tokens) {
    if (token.content == content) return token.id;
  }
  if (const auto own = model.id_of(content)) return *own;
  throw DataError(cat(folder.path.string(), ": ", key, " \"", content,
                      "\" is no entry of the vocabulary; correct the folder's files"));
}

// Begin and end mark of a caption.
void set_marks(const Folder& folder, const SubwordModel& model,
               const std::vector<AddedToken>& tokens, TextSpec& spec) {
  const Frame& frame = folder.json.frame;
  const fs::path file = folder.path / "tokenizer.json";
  if (folder.has_clip_class()) {
    spec.bos_id = id_of(folder, model, tokens, role(folder, "bos_token", "<|startoftext|>"), "bos_token");
    spec.eos_id = id_of(folder, model, tokens, role(folder, "eos_token", "<|endoftext|>"), "eos_token");
    const bool agrees = frame.before.size() == 1 && frame.before[0].second == spec.bos_id &&
                        frame.after.size() == 1 && frame.after[0].second == spec.eos_id;
    if (!folder.has_json || agrees) return;
    throw DataError(cat(file.string(), ": its post_processor does not put bos_token (", spec.bos_id,
                        ") before and eos_token (", spec.eos_id, ") behind a caption, as "
                        "transformers' CLIPTokenizer does; correct one of them"));
  }
  const std::size_t before = folder.is_clip() ? 1 : 0;
  if (frame.before.size() != before || frame.after.size() != 1) {
    throw DataError(cat(file.string(), ": post_processor puts ", frame.before.size(),
                        " marks before and ", frame.after.size(), " behind a caption; expected ",
                        before, " and 1 (",
                        folder.is_clip() ? "CLIP's begin and end marks"
                                         : "SigLIP's captions have an end mark and no begin mark",
                        "); correct the file"));
  }
  spec.bos_id = before == 0 ? -1 : frame.before[0].second;
  spec.eos_id = frame.after[0].second;
}

std::string pad_token(const Folder& folder, const std::string& eos) {
  if (const auto found = folder.settings.named.find("pad_token");
      found != folder.settings.named.end())
    return found->second.content;
  if (!folder.json.pad_token.empty()) return folder.json.pad_token;
  const std::string& name = folder.settings.tokenizer_class;
  // The classes' defaults.
  const bool has_own = name == "GemmaTokenizer" || name == "Siglip2Tokenizer" || name == "T5Tokenizer";
  return has_own || (!folder.is_clip() && folder.json.bpe) ? "<pad>" : eos;
}

std::string content_of(std::int64_t id, const Folder& folder, const std::vector<AddedToken>& tokens) {
  for (const AddedToken& token : tokens) {
    if (token.id == id) return token.content;
  }
  if (folder.json.unigram) return folder.json.unigram->entries[static_cast<std::size_t>(id)].first;
  for (const auto& [content, own] : folder.json.bpe->vocabulary) {
    if (own == id) return content;
  }
  return "";
}

// Whether CLIP's own vocabulary, which every client has built in, gives these ids.
bool has_clip_ids(const Folder& folder, const std::vector<AddedToken>& tokens, const TextSpec& spec) {
  if (!folder.is_clip() || spec.vocab_size != 49408 || spec.bos_id != 49406 || spec.eos_id != 49407)
    return false;
  const BpeSettings& bpe = *folder.json.bpe;
  if (sha256_hex(merges_txt(bpe.merges)) != kClipMerges) return false;
  std::int32_t id = 512;
  for (const auto& [a, b] : bpe.merges) {
    if (bpe.vocabulary.at(a + b) != id++) return false;
  }
  return std::all_of(tokens.begin(), tokens.end(),
                     [](const AddedToken& token) { return token.id >= 49406; }) &&
         bpe.vocabulary.contains("!") && bpe.vocabulary.at("!") == 0;
}

// tokenizer_config.json with the class that a folder without config.json needs.
std::string with_class(const std::string& text, const fs::path& file, const char* name) {
  auto config = nlohmann::ordered_json::parse(
      std::string_view(text).substr(text.starts_with("\xEF\xBB\xBF") ? 3 : 0));
  if (config.contains("tokenizer_class") && config["tokenizer_class"].is_string()) return text;
  static_cast<void>(file);
  config["tokenizer_class"] = name;
  return config.dump(2) + "\n";
}

// What an export writes: the folder's own files, and for CLIP's kind the forms that it lacks.
TokenizerFiles files_of(const Folder& folder, const std::vector<AddedToken>& tokens,
                        const TextSpec& spec) {
  TokenizerFiles files = folder.settings.files;
  const auto has = [&](const char* name) {
    return std::any_of(files.begin(), files.end(),
                       [&](const auto& file) { return file.first == name; });
  };
  if (folder.has_json) files.emplace_back("tokenizer.json", folder.json_text);
  if (!folder.is_clip()) return files;
  for (auto& [name, text] : files) {
    if (name == "tokenizer_config.json")
      text = with_class(text, folder.path / name, "CLIPTokenizer");
  }
  const BpeSettings& bpe = *folder.json.bpe;
  const ClipVocabulary vocabulary{bpe.vocabulary,
                                  bpe.merges,
                                  content_of(spec.bos_id, folder, tokens),
                                  content_of(spec.eos_id, folder, tokens),
                                  content_of(spec.pad_id, folder, tokens),
                                  role(folder, "unk_token", "<|endoftext|>")};
  files.emplace_back("vocab.json", vocab_json(bpe.vocabulary));
  files.emplace_back("merges.txt", merges_txt(bpe.merges));
  if (!has("tokenizer_config.json"))
    files.emplace_back("tokenizer_config.json", clip_tokenizer_config(vocabulary, spec.context_length));
  if (!has("special_tokens_map.json") && !folder.settings.lists_added && !folder.has_json)
    files.emplace_back("special_tokens_map.json", clip_special_tokens_map(vocabulary));
  if (!folder.has_json) files.emplace_back("tokenizer.json", clip_tokenizer_json(vocabulary, tokens));
  return files;
}

std::unique_ptr<Tokenizer> load_folder(const fs::path& path, std::int64_t context_length,
                                       TextCleaning cleaning) {
  Folder folder = read_folder(path);
  refuse_left_side(folder);
  if (folder.has_json && folder.has_clip_class() && !folder.json.is_clip_form()) {
    throw DataError(cat((path / "tokenizer.json").string(),
                        ": is not of CLIP's form (NFC, white space, lower case; CLIP's pattern; BPE "
                        "with \"</w>\"), but transformers' CLIPTokenizer would build that form and "
                        "the tokenizers library another; if the file is right, set tokenizer_class "
                        "to TokenizersBackend in tokenizer_config.json"));
  }
  Pipeline pipeline;
  const std::string where = (path / (folder.has_json ? "tokenizer.json" : "merges.txt")).string();
  pipeline.model = folder.json.bpe ? make_bpe(*folder.json.bpe, where)
                                   : make_unigram(*folder.json.unigram, where);
  pipeline.added = added_in_order(folder);
  number(pipeline.added, *pipeline.model, folder);
  TextSpec& spec = pipeline.spec;
  spec.context_length = context_length;
  spec.cleaning = cleaning;
  spec.is_padded = !folder.is_clip();
  spec.vocab_size = pipeline.model->size();
  for (const AddedToken& token : pipeline.added)
    spec.vocab_size = std::max<std::int64_t>(spec.vocab_size, token.id + 1);
  set_marks(folder, *pipeline.model, pipeline.added, spec);
  spec.pad_id = id_of(folder, *pipeline.model, pipeline.added,
                      pad_token(folder, content_of(spec.eos_id, folder, pipeline.added)), "pad_token");
  pipeline.is_clip = has_clip_ids(folder, pipeline.added, spec);
  pipeline.files = files_of(folder, pipeline.added, spec);
  pipeline.fingerprint = cat("pipeline ", folder.hash, " context ", context_length, " clean ",
                             to_string(cleaning));
  pipeline.normalizer = std::move(folder.json.normalizer);
  pipeline.pre_tokenizer = std::move(folder.json.pre_tokenizer);
  return make_pipeline_tokenizer(std::move(pipeline));
}

// A folder whose vocabulary cannot be read.
[[noreturn]] void refuse_folder(const fs::path& folder) {
  std::vector<std::string> found;
  for (const char* name : {"vocab.json", "merges.txt", "vocab.txt", "tokenizer_config.json",
                           "special_tokens_map.json", "added_tokens.json"}) {
    if (is_file(folder / name)) found.emplace_back(name);
  }
  throw DataError(cat(folder.string(), ": no tokenizer that can be read: found ",
                      found.empty() ? "no tokenizer files" : join(found, ", "),
                      "; expected tokenizer.json, vocab.json with merges.txt, spiece.model or "
                      "tokenizer.model. Put the model's own tokenizer there, or set model.tokenizer "
                      "to it (clip: CLIP's published vocabulary)"));
}

}  // namespace

std::unique_ptr<Tokenizer> load_hugging_face_tokenizer(const fs::path& folder,
                                                       std::int64_t context_length,
                                                       TextCleaning cleaning) {
  if (context_length < 2)
    throw ConfigError(cat("context length: expected at least 2, found ", context_length));
  return load_folder(folder, context_length, cleaning);
}

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
