// The settings next to a vocabulary. Which file wins follows transformers 5: added_tokens_decoder,
// if there is one, replaces the two older files; a role's token takes the flags of the listed token
// with the same text.
#include "text/tokenizer_folder.h"

#include <nlohmann/json.hpp>

#include "saferclip/core/error.h"
#include "saferclip/core/files.h"
#include "saferclip/core/text_format.h"
#include "saferclip/core/untrusted_text.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

using Json = nlohmann::json;

constexpr const char* kNamed[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                  "pad_token", "cls_token", "mask_token"};
constexpr std::int32_t kMaxTokens = 1 << 24;

void set_named(const Json& json, const fs::path& file, TokenizerSettings& settings) {
  for (const char* key : kNamed) {
    if (!json.contains(key) || json[key].is_null()) continue;
    settings.named[key] =
        read_added_token(json[key], !json[key].is_string(), true, cat(file.string(), ": ", key));
  }
}

// Tokens without a role, such as those of textual inversion.
std::vector<AddedToken> further_tokens(const Json& json, const fs::path& file) {
  std::vector<AddedToken> tokens;
  for (const char* key : {"extra_special_tokens", "additional_special_tokens"}) {
    if (!json.contains(key) || json[key].is_null()) continue;
    for (const auto& [name, value] : json[key].items()) {
      tokens.push_back(read_added_token(value, !value.is_string(), true,
                                        cat(file.string(), ": ", key, " ", name)));
    }
    if (!tokens.empty()) break;  // the second key is the older name of the first
  }
  return tokens;
}

std::int32_t token_id(const Json& json, const std::string& where) {
  if (!json.is_number_integer() || json.get<std::int64_t>() < 0 ||
      json.get<std::int64_t>() >= kMaxTokens)
    throw DataError(cat(where, ": expected an id, found ", json.dump()));
  return json.get<std::int32_t>();
}

void read_decoder(const Json& json, const fs::path& file, TokenizerSettings& settings) {
  std::map<std::int64_t, AddedToken> by_id;
  for (const auto& [key, value] : json.items()) {
    const std::string where = cat(file.string(), ": added_tokens_decoder ", key);
    if (key.empty() || key.size() > 8 || key.find_first_not_of("0123456789") != std::string::npos)
      throw DataError(cat(where, ": expected an id"));
    AddedToken token = read_added_token(value, true, false, where);
    token.id = static_cast<std::int32_t>(std::stol(key));
    by_id[token.id] = token;
  }
  for (const auto& [id, token] : by_id) settings.added.push_back(token);
  settings.lists_added = true;
}

// Legacy file: only tokens with a role are special.
void read_added_file(const Json& json, const fs::path& file, TokenizerSettings& settings) {
  std::map<std::int32_t, AddedToken> by_id;
  for (const auto& [content, id] : json.items()) {
    AddedToken token;
    token.content = content;
    token.id = token_id(id, cat(file.string(), ": \"", content, "\""));
    for (const auto& [role, named] : settings.named)
      token.is_special = token.is_special || named.content == content;
    token.is_normalized = !token.is_special;
    by_id[token.id] = token;
  }
  for (const auto& [id, token] : by_id) settings.added.push_back(token);
}

}  // namespace

Json parse_json_file(const std::string& text, const fs::path& file) {
  const std::string_view bytes =
      std::string_view(text).substr(text.starts_with("\xEF\xBB\xBF") ? 3 : 0);
  Json json = is_nested_deeper(bytes, 64) ? Json() : Json::parse(bytes, nullptr, false);
  if (!json.is_object())
    throw DataError(cat(file.string(), ": expected a JSON object; fetch the file again"));
  return json;
}

AddedToken read_added_token(const Json& json, bool normalized, bool special,
                            const std::string& where) {
  AddedToken token;
  token.is_normalized = normalized;
  token.is_special = special;
  if (json.is_string()) {
    token.content = json.get<std::string>();
    token.is_bare = true;
    return token;
  }
  if (!json.is_object() || !json.value("content", Json()).is_string())
    throw DataError(cat(where, ": expected a token, found ", json.dump()));
  const auto flag = [&](const char* key, bool fallback) {
    const Json value = json.value(key, Json(fallback));
    if (!value.is_boolean())
      throw DataError(cat(where, ": ", key, ": expected true or false, found ", value.dump()));
    return value.get<bool>();
  };
  token.content = json["content"].get<std::string>();
  token.is_single_word = flag("single_word", false);
  token.strips_left = flag("lstrip", false);
  token.strips_right = flag("rstrip", false);
  token.is_special = flag("special", special);
  token.is_normalized = flag("normalized", normalized);
  return token;
}

TokenizerSettings read_tokenizer_settings(const fs::path& folder) {
  TokenizerSettings settings;
  const auto read = [&](const char* name) {
    const fs::path file = folder / name;
    if (!is_file(file)) return Json();
    std::string text = read_file(file);
    Json json = parse_json_file(text, file);
    settings.files.emplace_back(name, std::move(text));
    return json;
  };
  const Json config = read("tokenizer_config.json");
  const Json specials = read("special_tokens_map.json");
  const Json added = read("added_tokens.json");
  const fs::path config_file = folder / "tokenizer_config.json";
  if (config.is_object()) {
    const Json name = config.value("tokenizer_class", Json());
    if (!name.is_string() && !name.is_null())
      throw DataError(
          cat(config_file.string(), ": tokenizer_class: expected text, found ", name.dump()));
    if (name.is_string()) settings.tokenizer_class = name.get<std::string>();
    if (settings.tokenizer_class.ends_with("Fast"))
      settings.tokenizer_class.resize(settings.tokenizer_class.size() - 4);
    set_named(config, config_file, settings);
    settings.further = further_tokens(config, config_file);
  }
  if (config.is_object() && config.contains("added_tokens_decoder")) {
    read_decoder(config["added_tokens_decoder"], config_file, settings);
  } else {
    if (specials.is_object()) {
      set_named(specials, folder / "special_tokens_map.json", settings);
      for (AddedToken& token : further_tokens(specials, folder / "special_tokens_map.json"))
        settings.further.push_back(std::move(token));
    }
    if (added.is_object()) read_added_file(added, folder / "added_tokens.json", settings);
  }
  // A role's token takes the flags of the listed one.
  for (auto& [role, token] : settings.named) {
    for (const AddedToken& listed : settings.added) {
      if (listed.content == token.content) token = listed;
    }
  }
  return settings;
}

}  // namespace saferclip
