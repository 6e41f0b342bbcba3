// Joins problems into one message, so that users see all of them at once. The list is capped: one
// cause, such as a wrong image root, can produce a problem for every row, and a message of
// thousands of lines hides the first.
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
