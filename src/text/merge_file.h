// merges.txt and the list of merges inside CLIP's own vocabulary file.
#pragma once

#include <filesystem>
#include <string>

#include "text/subword_model.h"

namespace saferclip {

// One merge per line, at most `limit`; skips "#version" lines, empty lines, a byte order mark and
// carriage returns. Throws DataError with file and line.
MergeList read_merge_lines(const std::string& text, const std::filesystem::path& file,
                           std::size_t limit);

}  // namespace saferclip
