// Reads a tokenizer.json of the tokenizers library. Every part is either reproduced exactly or
// reported, all unsupported parts in one message: a part that is silently skipped would give other
// ids. Type errors of nlohmann's accessors are translated in one place.
#include "text/tokenizer_json.h"

#include <nlohmann/json.hpp>

#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"
#include "text/tokenizer_folder.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

using Json = nlohmann::json;

MergeList read_merges(const Json& json, const std::string& where) {
  MergeList merges;
  for (const Json& merge : json) {
    if (merge.is_array() && merge.size() == 2) {
      merges.emplace_back(merge[0].get<std::string>(), merge[1].get<std::string>());
      continue;
    }
    // Older form: both symbols in one text.
    const auto text = merge.get<std::string>();
    const std::size_t space = text.find(' ');
    if (space == std::string::npos || text.find(' ', space + 1) != std::string::npos)
      throw DataError(cat(where, ": model.merges: \"", text, "\": expected two symbols"));
    merges.emplace_back(text.substr(0, space), text.substr(space + 1));
  }
  return merges;
}

std::string text_or_empty(const Json& json, const char* key) {
  const Json value = json.value(key, Json());
  return value.is_null() ? "" : value.get<std::string>();
}

bool flag(const Json& json, const char* key) {
  const Json value = json.value(key, Json());
  return !value.is_null() && value.get<bool>();
}

BpeSettings read_bpe(const Json& model, const std::string& where,
                     std::vector<std::string>& problems) {
  BpeSettings settings;
  settings.vocabulary = read_vocabulary(model.value("vocab", Json()), where);
  settings.merges = read_merges(model.value("merges", Json::array()), where);
  settings.end_of_word = text_or_empty(model, "end_of_word_suffix");
  settings.unknown = text_or_empty(model, "unk_token");
  settings.fuses_unknown = flag(model, "fuse_unk");
  settings.has_byte_fallback = flag(model, "byte_fallback");
  settings.ignores_merges = flag(model, "ignore_merges");
  if (!text_or_empty(model, "continuing_subword_prefix").empty())
    problems.emplace_back("model BPE with a continuing_subword_prefix; known: none");
  const Json dropout = model.value("dropout", Json());
  if (!dropout.is_null() && dropout != 0.0)
    problems.emplace_back("model BPE with dropout, which makes ids random; known: none");
  return settings;
}

UnigramSettings read_unigram(const Json& model) {
  UnigramSettings settings;
  for (const Json& entry : model.at("vocab"))
    settings.entries.emplace_back(entry.at(0).get<std::string>(), entry.at(1).get<double>());
  const Json unknown = model.value("unk_id", Json());
  if (!unknown.is_null()) settings.unknown = unknown.get<std::int32_t>();
  settings.has_byte_fallback = flag(model, "byte_fallback");
  return settings;
}

void read_model(const Json& json, const std::string& where, TokenizerJson& result,
                std::vector<std::string>& problems) {
  const Json model = json.value("model", Json::object());
  // Older files omit the type of a BPE.
  const auto type = model.value("type", std::string(model.contains("merges") ? "BPE" : ""));
  if (type == "BPE") {
    result.bpe = read_bpe(model, where, problems);
  } else if (type == "Unigram") {
    result.unigram = read_unigram(model);
  } else {
    problems.push_back(cat("model ", type, "; known: BPE, Unigram"));
  }
}

std::pair<std::string, std::int32_t> entry_of(const Json& pair) {
  return {pair.at(0).get<std::string>(), pair.at(1).get<std::int32_t>()};
}

// The template of a single text: tokens before and after the sequence.
void read_template(const Json& json, Frame& frame) {
  bool is_after = false;
  for (const Json& piece : json.at("single")) {
    if (piece.contains("Sequence")) {
      is_after = true;
      continue;
    }
    const auto name = piece.at("SpecialToken").at("id").get<std::string>();
    const Json& token = json.at("special_tokens").at(name);
    for (const Json& id : token.at("ids"))
      (is_after ? frame.after : frame.before).emplace_back(name, id.get<std::int32_t>());
  }
}

void read_frame(const Json& json, Frame& frame, std::vector<std::string>& problems) {
  if (json.is_null()) return;
  const auto type = json.value("type", std::string());
  if (type == "Sequence") {
    for (const Json& part : json.at("processors")) read_frame(part, frame, problems);
  } else if (type == "RobertaProcessing" || type == "BertProcessing") {
    frame.before.push_back(entry_of(json.at("cls")));
    frame.after.insert(frame.after.begin(), entry_of(json.at("sep")));
  } else if (type == "TemplateProcessing") {
    read_template(json, frame);
  } else if (type != "ByteLevel") {
    problems.push_back(cat("post_processor ", type,
                           "; known: RobertaProcessing, BertProcessing, TemplateProcessing, "
                           "ByteLevel"));
  }
}

void read_parts(const Json& json, const std::string& where, TokenizerJson& result,
                std::vector<std::string>& problems) {
  result.normalizer = read_normalizer(json.value("normalizer", Json()), problems);
  result.pre_tokenizer = read_pre_tokenizer(json.value("pre_tokenizer", Json()), problems);
  read_frame(json.value("post_processor", Json()), result.frame, problems);
  read_model(json, where, result, problems);
  for (const Json& token : json.value("added_tokens", Json::array())) {
    AddedToken added = read_added_token(token, true, false, cat(where, ": added_tokens"));
    added.id = token.at("id").get<std::int32_t>();
    result.added_tokens.push_back(std::move(added));
  }
  const Json padding = json.value("padding", Json());
  if (padding.is_object()) result.pad_token = text_or_empty(padding, "pad_token");
}

}  // namespace

VocabularyIds read_vocabulary(const Json& json, const std::string& where) {
  if (!json.is_object()) throw DataError(cat(where, ": expected a JSON object of symbols and ids"));
  VocabularyIds ids(json.size());
  std::vector<bool> is_used(json.size(), false);
  for (const auto& [symbol, id] : json.items()) {
    if (!id.is_number_unsigned() || id.get<std::size_t>() >= json.size() ||
        is_used[id.get<std::size_t>()]) {
      throw DataError(cat(where, ": \"", symbol, "\": id ", id.dump(), " is not one of 0 … ",
                          json.size() - 1, ", each exactly once"));
    }
    is_used[id.get<std::size_t>()] = true;
    ids.emplace(symbol, id.get<std::int32_t>());
  }
  return ids;
}

TokenizerJson read_tokenizer_json(const std::string& text, const fs::path& file) {
  const std::string where = file.string();
  TokenizerJson result;
  std::vector<std::string> problems;
  try {
    read_parts(parse_json_file(text, file), where, result, problems);
  } catch (const Json::exception& problem) {
    throw DataError(cat(where, ": a value has an unexpected type: ", problem.what()));
  }
  if (!problems.empty()) {
    throw DataError(join_problems(
        cat(where,
            ": these parts are not supported (set model.tokenizer to another tokenizer of "
            "the model):"),
        problems));
  }
  return result;
}

}  // namespace saferclip
