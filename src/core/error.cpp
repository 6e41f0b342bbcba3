#include "saferclip/core/error.h"

#include "saferclip/core/text_format.h"

namespace saferclip {

namespace {
constexpr std::size_t kListed = 40;  // what goes wrong once can go wrong a thousand times
}  // namespace

std::string join_problems(const std::string& head, const std::vector<std::string>& problems) {
  std::string text = head;
  for (const std::string& problem : shortened(problems, kListed)) text += "\n  " + problem;
  return text;
}

}  // namespace saferclip
