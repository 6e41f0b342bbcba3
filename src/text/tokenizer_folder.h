// The settings files of a Hugging Face tokenizer folder, as transformers 5 reads them.
#pragma once

#include <filesystem>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <utility>
#include <vector>

#include "text/added_tokens.h"

namespace saferclip {

// Parses the JSON object in a file's text, skipping a byte order mark. Throws DataError with the
// file.
nlohmann::json parse_json_file(const std::string& text, const std::filesystem::path& file);

// From tokenizer_config.json, special_tokens_map.json and added_tokens.json, each if it exists.
struct TokenizerSettings {
  std::vector<std::pair<std::string, std::string>> files;  // name, content as read
  std::string tokenizer_class;                             // without "Fast"; "" if missing
  std::map<std::string, AddedToken> named;                 // by role: "bos_token", …
  std::vector<AddedToken> added;                           // in the order of addition
  std::vector<AddedToken> further;                         // added after those and the named ones
  bool lists_added = false;  // `added` is complete: the vocabulary file's tokens do not count
};

// Added tokens come from added_tokens_decoder in tokenizer_config.json, or if that is missing from
// special_tokens_map.json and added_tokens.json. Throws DataError with file and key.
TokenizerSettings read_tokenizer_settings(const std::filesystem::path& folder);

// One token, written as text or as an object with `content`. `normalized` and `special` are the
// defaults of these flags.
AddedToken read_added_token(const nlohmann::json& json, bool normalized, bool special,
                            const std::string& where);

}  // namespace saferclip
