// The merge lists of merges.txt and of CLIP's vocabulary file. CLIP's file has its version behind
// other text on the first line, hence the special case; it also lists more merges than its
// vocabulary uses, hence the limit.
#include "text/merge_file.h"

#include <sstream>

#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"

namespace saferclip {

MergeList read_merge_lines(const std::string& text, const std::filesystem::path& file,
                           std::size_t limit) {
  MergeList merges;
  std::istringstream in(text.starts_with("\xEF\xBB\xBF") ? text.substr(3) : text);
  int number = 0;
  for (std::string line; merges.size() < limit && std::getline(in, line);) {
    ++number;
    if (!line.empty() && line.back() == '\r') line.pop_back();
    const bool is_head = number == 1 && line.find("#version") != std::string::npos;
    if (line.empty() || is_head || line.starts_with("#version")) continue;
    const std::size_t space = line.find(' ');
    if (space == std::string::npos || space == 0 || space + 1 == line.size() ||
        line.find(' ', space + 1) != std::string::npos) {
      throw DataError(cat(file.string(), ":", number, ": \"", line,
                          "\": expected two symbols separated by a space"));
    }
    merges.emplace_back(line.substr(0, space), line.substr(space + 1));
  }
  return merges;
}

}  // namespace saferclip
