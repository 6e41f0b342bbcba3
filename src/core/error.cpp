// A list of problems is capped: one cause can produce thousands of them (a wrong image root, one
// per row).
#include "saferclip/core/error.h"

#include "saferclip/core/text_format.h"

namespace saferclip {

namespace {
constexpr std::size_t kListed = 40;
}  // namespace

std::string join_problems(const std::string& head, const std::vector<std::string>& problems) {
  std::string text = head;
  for (const std::string& problem : shortened(problems, kListed)) text += "\n  " + problem;
  return text;
}

}  // namespace saferclip
