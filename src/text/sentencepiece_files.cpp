// Only settings that change ids are read; a folder that would add a begin token or omit the end
// token is refused, because the models were trained on neither. New files name the transformers
// class whose ids equal this program's.
#include "text/sentencepiece_files.h"

#include <nlohmann/json.hpp>

#include "saferclip/core/error.h"
#include "saferclip/core/files.h"
#include "saferclip/core/text_format.h"
#include "saferclip/core/untrusted_text.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

using OrderedJson = nlohmann::ordered_json;

OrderedJson parse_object(const std::string& text, const fs::path& file) {
  OrderedJson json =
      is_nested_deeper(text, 64) ? OrderedJson() : OrderedJson::parse(text, nullptr, false);
  if (!json.is_object())
    throw DataError(cat(file.string(), ": expected a JSON object; fetch the file again"));
  return json;
}

// A token is a text or an object with `content`.
std::string token_text(const OrderedJson& config, const char* key, const fs::path& file) {
  const auto found = config.find(key);
  if (found == config.end() || found->is_null()) return "";
  const OrderedJson& value =
      found->is_object() && found->contains("content") ? (*found)["content"] : *found;
  if (!value.is_string())
    throw DataError(cat(file.string(), ": ", key, ": expected text, found ", value.type_name()));
  return value.get<std::string>();
}

std::optional<SentencePieceKind> kind_of(const std::string& tokenizer_class) {
  std::string_view name = tokenizer_class;
  if (name.ends_with("Fast")) name.remove_suffix(4);
  // open_clip's SigLIP folders name T5's class, whose vocabulary form it is.
  if (name == "SiglipTokenizer" || name == "T5Tokenizer") return SentencePieceKind::kSiglip;
  if (name == "GemmaTokenizer" || name == "Siglip2Tokenizer") return SentencePieceKind::kGemma;
  return std::nullopt;
}

void refuse_other_marks(const OrderedJson& config, const fs::path& file) {
  for (const auto& [key, expected] : {std::pair{"add_bos_token", false}, {"add_eos_token", true}}) {
    const auto found = config.find(key);
    if (found == config.end() || found->is_null() || *found == expected) continue;
    throw DataError(
        cat(file.string(), ": ", key, ": found ", found->dump(), ", expected ",
            expected ? "true" : "false",
            ": SigLIP's captions have an end token and no begin token; correct the file"));
  }
}

OrderedJson mark(const std::string& text, bool strips) {
  return {{"content", text},
          {"lstrip", strips},
          {"normalized", false},
          {"rstrip", strips},
          {"single_word", false}};
}

OrderedJson siglip_config(const SpecialPieces& pieces, const TextSpec& spec) {
  return {{"clean_up_tokenization_spaces", true},
          {"do_lower_case", true},
          {"eos_token", pieces.eos},
          {"model_input_names", {"input_ids"}},
          {"model_max_length", spec.context_length},
          {"pad_token", pieces.pad},
          {"sp_model_kwargs", OrderedJson::object()},
          {"tokenizer_class", "SiglipTokenizer"},
          {"unk_token", pieces.unk}};
}

OrderedJson gemma_config(const SpecialPieces& pieces, const TextSpec& spec) {
  return {{"add_bos_token", false},
          {"add_eos_token", true},
          {"bos_token", pieces.bos},
          {"clean_up_tokenization_spaces", false},
          {"eos_token", pieces.eos},
          {"model_input_names", {"input_ids"}},
          {"model_max_length", spec.context_length},
          {"pad_token", pieces.pad},
          {"padding_side", "right"},
          {"tokenizer_class",
           spec.cleaning == TextCleaning::kSiglip ? "Siglip2Tokenizer" : "GemmaTokenizer"},
          {"unk_token", pieces.unk}};
}

}  // namespace

SentencePieceFolder read_sentencepiece_folder(const fs::path& folder) {
  SentencePieceFolder result;
  for (const char* name : {"tokenizer_config.json", "special_tokens_map.json"}) {
    const fs::path file = folder / name;
    if (!is_file(file)) continue;
    std::string text = read_file(file);
    const OrderedJson config = parse_object(text, file);
    if (result.pad_token.empty()) result.pad_token = token_text(config, "pad_token", file);
    if (!result.kind) result.kind = kind_of(token_text(config, "tokenizer_class", file));
    refuse_other_marks(config, file);
    result.files.emplace_back(name, std::move(text));
  }
  if (const fs::path file = folder / "tokenizer.json"; is_file(file))
    result.files.emplace_back("tokenizer.json", read_file(file));
  return result;
}

std::vector<std::pair<std::string, std::string>> sentencepiece_files(SentencePieceKind kind,
                                                                     const SpecialPieces& pieces,
                                                                     const TextSpec& spec) {
  const bool is_siglip = kind == SentencePieceKind::kSiglip;
  const OrderedJson config = is_siglip ? siglip_config(pieces, spec) : gemma_config(pieces, spec);
  OrderedJson specials{{"eos_token", mark(pieces.eos, is_siglip)},
                       {"pad_token", mark(pieces.pad, is_siglip)},
                       {"unk_token", mark(pieces.unk, is_siglip)}};
  if (!is_siglip) specials["bos_token"] = mark(pieces.bos, false);
  return {{"tokenizer_config.json", config.dump(2) + "\n"},
          {"special_tokens_map.json", specials.dump(2) + "\n"}};
}

}  // namespace saferclip
