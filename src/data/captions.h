// What a record says in words: a caption, or a list of them.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace saferclip {

struct Captions {
  std::vector<std::string> texts;  // none when one of them cannot be used
  std::string kind;                // of the problem, as in RowProblem
  std::string problem;
};

// `name` is the field's, for messages.
Captions read_captions(const nlohmann::json& value, const std::string& name);

// Nothing but white space.
bool is_blank(const nlohmann::json& value);

// What a message quotes of a row; cut between letters.
std::string shortened(const std::string& text);

}  // namespace saferclip
