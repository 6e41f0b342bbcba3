#include "saferclip/core/error.h"

namespace saferclip {

std::string join_problems(const std::string& head, const std::vector<std::string>& problems) {
  std::string text = head;
  for (const std::string& problem : problems) text += "\n  " + problem;
  return text;
}

}  // namespace saferclip
