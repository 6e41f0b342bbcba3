// The files of a Hugging Face tokenizer folder, and what transformers 5 makes of those beside the
// vocabulary.
#pragma once

#include <filesystem>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <utility>
#include <vector>

#include "text/added_tokens.h"

namespace saferclip {

// A JSON object of a file; a byte order mark is skipped. Throws DataError naming the file.
nlohmann::json parse_json_file(const std::string& text, const std::filesystem::path& file);

// tokenizer_config.json, special_tokens_map.json and added_tokens.json, as far as they are there.
struct TokenizerSettings {
  std::vector<std::pair<std::string, std::string>> files;  // name, content as it is
  std::string tokenizer_class;                             // without "Fast"; "": not said
  std::map<std::string, AddedToken> named;  // "bos_token", …: as they are looked for in a caption
  std::vector<AddedToken> added;            // in the order in which they are added
  std::vector<AddedToken> further;          // after those and the named ones
  bool lists_added = false;                 // `added` are all: the vocabulary file's do not count
};

// Which of the files say what: added_tokens_decoder of tokenizer_config.json, and without one
// special_tokens_map.json, then added_tokens.json. Throws DataError naming file and key.
TokenizerSettings read_tokenizer_settings(const std::filesystem::path& folder);

// One token of a JSON list or map, written as text or as an object with `content`. `normalized` and
// `special` are what counts where the object does not say.
AddedToken read_added_token(const nlohmann::json& json, bool normalized, bool special,
                            const std::string& where);

}  // namespace saferclip
