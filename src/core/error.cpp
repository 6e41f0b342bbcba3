#include "saferclip/core/error.h"

#include "saferclip/core/text_format.h"

namespace saferclip {

std::string join_problems(const std::string& head, const std::vector<std::string>& problems,
                          std::size_t limit) {
  std::string text = head;
  for (const std::string& problem : shortened(problems, limit)) text += "\n  " + problem;
  return text;
}

}  // namespace saferclip
