// A Hugging Face tokenizer folder as transformers 5 and the tokenizers library read it. The two
// disagree about many folders (order and flags of added tokens, classes that rebuild the pipeline);
// what follows reproduces transformers' order of work, and refuses a folder whose ids would differ
// between the two.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "saferclip/core/error.h"
#include "saferclip/core/hash.h"
#include "saferclip/core/text_format.h"
#include "saferclip/text/tokenizer.h"
#include "text/pipeline_tokenizer.h"
#include "text/tokenizer_contents.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

// SHA-256 of merges.txt for CLIP's published vocabulary.
constexpr const char* kClipMergesSha256 =
    "9fd691f7c8039210e0fced15865466c65820d09b63988b0174bfe25de299051a";

bool has_content(const std::vector<AddedToken>& tokens, const std::string& content) {
  return std::any_of(tokens.begin(), tokens.end(),
                     [&](const AddedToken& token) { return token.content == content; });
}

void add_new(std::vector<AddedToken>& tokens, const AddedToken& token) {
  if (!token.content.empty() && !has_content(tokens, token.content)) tokens.push_back(token);
}

// Tokens with a role, including CLIPTokenizer's defaults.
std::vector<AddedToken> role_tokens(const TokenizerContents& folder) {
  std::vector<AddedToken> tokens;
  for (const char* key : {"bos_token", "eos_token", "unk_token", "sep_token", "pad_token",
                          "cls_token", "mask_token"}) {
    const std::string_view role = key;
    const auto found = folder.settings.named.find(key);
    const bool has_default =
        role == "bos_token" || role == "eos_token" || role == "unk_token" || role == "pad_token";
    if (found != folder.settings.named.end()) {
      tokens.push_back(found->second);
    } else if (folder.has_clip_class() && has_default) {
      AddedToken token;
      token.content = role == "bos_token" ? "<|startoftext|>" : "<|endoftext|>";
      token.is_special = token.is_bare = true;
      tokens.push_back(token);
    }
  }
  return tokens;
}

// A token may have several roles, in some as plain text and in others with flags. transformers
// skips repetitions in the same form; of the two forms the last one counts.
void add_role_tokens(const TokenizerContents& folder, std::vector<AddedToken>& tokens) {
  std::vector<AddedToken> forms;
  for (const AddedToken& token : role_tokens(folder)) {
    const bool is_repeated = std::any_of(forms.begin(), forms.end(), [&](const AddedToken& other) {
      return other.content == token.content && other.is_bare == token.is_bare;
    });
    if (!token.content.empty() && !has_content(tokens, token.content) && !is_repeated)
      forms.push_back(token);
  }
  for (const AddedToken& form : forms) {
    const auto same = std::find_if(tokens.begin(), tokens.end(), [&](const AddedToken& token) {
      return token.content == form.content;
    });
    if (same == tokens.end()) {
      tokens.push_back(form);
    } else {
      *same = form;
    }
  }
}

// The tokens to find in a caption, in the order in which transformers adds them.
std::vector<AddedToken> added_in_order(const TokenizerContents& folder) {
  std::vector<AddedToken> tokens;
  const TokenizerSettings& settings = folder.settings;
  if (folder.has_json && !folder.has_clip_class()) {
    for (const AddedToken& token : folder.json.added_tokens) add_new(tokens, token);
  }
  std::vector<AddedToken> listed = settings.added;
  if (folder.has_json && !settings.lists_added) {
    // The vocabulary file's tokens come last and win if two have the same id.
    for (const AddedToken& token : folder.json.added_tokens) {
      std::erase_if(listed, [&](const AddedToken& other) { return other.id == token.id; });
      listed.push_back(token);
    }
    std::stable_sort(listed.begin(), listed.end(),
                     [](const AddedToken& a, const AddedToken& b) { return a.id < b.id; });
  }
  for (const AddedToken& token : listed) add_new(tokens, token);
  add_role_tokens(folder, tokens);
  for (const AddedToken& token : settings.further) add_new(tokens, token);
  return tokens;
}

// Assigns ids: entries of the vocabulary keep theirs, the others follow after it.
void assign_ids(std::vector<AddedToken>& tokens, const SubwordModel& model,
                const TokenizerContents& folder) {
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

std::int64_t id_of(const TokenizerContents& folder, const SubwordModel& model,
                   const std::vector<AddedToken>& tokens, const std::string& content,
                   const char* key) {
  for (const AddedToken& token : tokens) {
    if (token.content == content) return token.id;
  }
  if (const auto own = model.id_of(content)) return *own;
  throw DataError(cat(folder.path.string(), ": ", key, " \"", content,
                      "\" is not in the vocabulary; correct the folder's files"));
}

// Sets the begin and end tokens.
void set_marks(const TokenizerContents& folder, const SubwordModel& model,
               const std::vector<AddedToken>& tokens, TextSpec& spec) {
  const Frame& frame = folder.json.frame;
  const fs::path file = folder.path / "tokenizer.json";
  if (folder.has_clip_class()) {
    spec.bos_id =
        id_of(folder, model, tokens, role_of(folder, "bos_token", "<|startoftext|>"), "bos_token");
    spec.eos_id =
        id_of(folder, model, tokens, role_of(folder, "eos_token", "<|endoftext|>"), "eos_token");
    const bool agrees = frame.before.size() == 1 && frame.before[0].second == spec.bos_id &&
                        frame.after.size() == 1 && frame.after[0].second == spec.eos_id;
    if (!folder.has_json || agrees) return;
    throw DataError(cat(file.string(), ": its post_processor does not put bos_token (", spec.bos_id,
                        ") before and eos_token (", spec.eos_id,
                        ") after a caption, as "
                        "transformers' CLIPTokenizer does; correct one of them"));
  }
  const std::size_t before = folder.is_clip() ? 1 : 0;
  if (frame.before.size() != before || frame.after.size() != 1) {
    throw DataError(cat(file.string(), ": post_processor puts ", frame.before.size(),
                        " tokens before and ", frame.after.size(), " after a caption; expected ",
                        before, " and 1 (",
                        folder.is_clip() ? "CLIP's begin and end tokens"
                                         : "SigLIP's captions have an end token and no begin token",
                        "); correct the file"));
  }
  spec.bos_id = before == 0 ? -1 : frame.before[0].second;
  spec.eos_id = frame.after[0].second;
  if (spec.eos_id < 0 || std::max(spec.bos_id, spec.eos_id) >= spec.vocab_size ||
      (before == 1 && spec.bos_id < 0)) {
    throw DataError(cat(file.string(), ": post_processor uses ids ", spec.bos_id, " and ",
                        spec.eos_id, ", but ids must be valid in a vocabulary of ", spec.vocab_size,
                        "; correct the file"));
  }
}

std::string pad_token(const TokenizerContents& folder, const std::string& eos) {
  if (const auto found = folder.settings.named.find("pad_token");
      found != folder.settings.named.end())
    return found->second.content;
  if (!folder.json.pad_token.empty()) return folder.json.pad_token;
  const std::string& name = folder.settings.tokenizer_class;
  // The defaults of the classes.
  const bool has_own =
      name == "GemmaTokenizer" || name == "Siglip2Tokenizer" || name == "T5Tokenizer";
  return has_own || (!folder.is_clip() && folder.json.bpe) ? "<pad>" : eos;
}

std::string content_of(std::int64_t id, const TokenizerContents& folder,
                       const std::vector<AddedToken>& tokens) {
  for (const AddedToken& token : tokens) {
    if (token.id == id) return token.content;
  }
  if (folder.json.unigram) return folder.json.unigram->entries[static_cast<std::size_t>(id)].first;
  for (const auto& [content, own] : folder.json.bpe->vocabulary) {
    if (own == id) return content;
  }
  return "";
}

// Whether the ids are those of CLIP's published vocabulary.
bool has_clip_ids(const TokenizerContents& folder, const std::vector<AddedToken>& tokens,
                  const TextSpec& spec) {
  if (!folder.is_clip() || spec.vocab_size != 49408 || spec.bos_id != 49406 || spec.eos_id != 49407)
    return false;
  const BpeSettings& bpe = *folder.json.bpe;
  if (sha256_hex(merges_txt(bpe.merges)) != kClipMergesSha256) return false;
  std::int32_t id = 512;
  for (const auto& [a, b] : bpe.merges) {
    const auto found = bpe.vocabulary.find(a + b);
    if (found == bpe.vocabulary.end() || found->second != id++) return false;
  }
  return std::all_of(tokens.begin(), tokens.end(),
                     [](const AddedToken& token) { return token.id >= 49406; }) &&
         bpe.vocabulary.contains("!") && bpe.vocabulary.at("!") == 0;
}

// tokenizer_config.json with the class name, which a folder without config.json needs.
std::string with_class(const std::string& text, const char* name) {
  auto config = nlohmann::ordered_json::parse(
      std::string_view(text).substr(text.starts_with("\xEF\xBB\xBF") ? 3 : 0));
  if (config.contains("tokenizer_class") && config["tokenizer_class"].is_string()) return text;
  config["tokenizer_class"] = name;
  return config.dump(2) + "\n";
}

// The files of an export: the folder's own, and for CLIP's kind also those that it lacks.
TokenizerFiles files_of(const TokenizerContents& folder, const std::vector<AddedToken>& tokens,
                        const TextSpec& spec) {
  TokenizerFiles files = folder.settings.files;
  const auto has = [&](const char* name) {
    return std::any_of(files.begin(), files.end(),
                       [&](const auto& file) { return file.first == name; });
  };
  if (folder.has_json) files.emplace_back("tokenizer.json", folder.json_text);
  if (!folder.is_clip()) return files;
  for (auto& [name, text] : files) {
    if (name == "tokenizer_config.json") text = with_class(text, "CLIPTokenizer");
  }
  const BpeSettings& bpe = *folder.json.bpe;
  const ClipVocabulary vocabulary{bpe.vocabulary,
                                  bpe.merges,
                                  content_of(spec.bos_id, folder, tokens),
                                  content_of(spec.eos_id, folder, tokens),
                                  content_of(spec.pad_id, folder, tokens),
                                  role_of(folder, "unk_token", "<|endoftext|>")};
  files.emplace_back("vocab.json", vocab_json(bpe.vocabulary));
  files.emplace_back("merges.txt", merges_txt(bpe.merges));
  if (!has("tokenizer_config.json"))
    files.emplace_back("tokenizer_config.json",
                       clip_tokenizer_config(vocabulary, spec.context_length));
  if (!has("special_tokens_map.json") && !folder.settings.lists_added && !folder.has_json)
    files.emplace_back("special_tokens_map.json", clip_special_tokens_map(vocabulary));
  if (!folder.has_json)
    files.emplace_back("tokenizer.json", clip_tokenizer_json(vocabulary, tokens));
  return files;
}

std::unique_ptr<Tokenizer> load_folder(const fs::path& path, std::int64_t context_length,
                                       TextCleaning cleaning) {
  TokenizerContents folder = read_tokenizer_contents(path);
  if (folder.has_json && folder.has_clip_class() && !folder.json.is_clip_form()) {
    throw DataError(
        cat((path / "tokenizer.json").string(),
            ": does not have CLIP's form (NFC, white space, lower case; CLIP's pattern; BPE "
            "with \"</w>\"): transformers' CLIPTokenizer would build that form, but the "
            "tokenizers library another; if the file is right, set tokenizer_class to "
            "TokenizersBackend in tokenizer_config.json"));
  }
  Pipeline pipeline;
  const std::string where = (path / (folder.has_json ? "tokenizer.json" : "merges.txt")).string();
  pipeline.model = folder.json.bpe ? make_bpe(*folder.json.bpe, where)
                                   : make_unigram(*folder.json.unigram, where);
  pipeline.added = added_in_order(folder);
  assign_ids(pipeline.added, *pipeline.model, folder);
  TextSpec& spec = pipeline.spec;
  spec.context_length = context_length;
  spec.cleaning = cleaning;
  spec.is_padded = !folder.is_clip();
  spec.vocab_size = pipeline.model->size();
  for (const AddedToken& token : pipeline.added)
    spec.vocab_size = std::max<std::int64_t>(spec.vocab_size, token.id + 1);
  set_marks(folder, *pipeline.model, pipeline.added, spec);
  spec.pad_id =
      id_of(folder, *pipeline.model, pipeline.added,
            pad_token(folder, content_of(spec.eos_id, folder, pipeline.added)), "pad_token");
  pipeline.is_clip = has_clip_ids(folder, pipeline.added, spec);
  pipeline.files = files_of(folder, pipeline.added, spec);
  pipeline.fingerprint =
      cat("pipeline ", folder.hash, " context ", context_length, " clean ", to_string(cleaning));
  pipeline.normalizer = std::move(folder.json.normalizer);
  pipeline.pre_tokenizer = std::move(folder.json.pre_tokenizer);
  return make_pipeline_tokenizer(std::move(pipeline));
}

}  // namespace

std::unique_ptr<Tokenizer> load_hugging_face_tokenizer(const fs::path& folder,
                                                       std::int64_t context_length,
                                                       TextCleaning cleaning) {
  if (context_length < 2)
    throw ConfigError(cat("context length: expected at least 2, found ", context_length));
  return load_folder(folder, context_length, cleaning);
}

}  // namespace saferclip
