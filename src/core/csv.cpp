#include "saferclip/core/csv.h"

namespace saferclip {

std::string csv_field(std::string_view text) {
  std::string quoted = "\"";
  for (const char letter : text) quoted.append(letter == '"' ? 2 : 1, letter);
  return quoted + "\"";
}

}  // namespace saferclip
