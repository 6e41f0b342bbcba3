// Reads a caption field: one caption or a list.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace saferclip {

struct Captions {
  std::vector<std::string> texts;  // empty when any of them is unusable
  std::string kind;                // RowProblem::kind
  std::string problem;
};

// `name`: the field's, for messages.
Captions read_captions(const nlohmann::json& value, const std::string& name);

// A table's cell that holds a JSON list of texts, as pandas writes lists, becomes that list; any
// other value stays as it is.
nlohmann::json listed_texts(const nlohmann::json& cell);

// Whether a text is only white space.
bool is_blank(const nlohmann::json& value);

// At most 60 bytes for a message, cut between UTF-8 characters.
std::string shortened(const std::string& text);

}  // namespace saferclip
