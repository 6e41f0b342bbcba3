// merges.txt and the list of merges inside CLIP's own vocabulary file.
#pragma once

#include <filesystem>
#include <string>

#include "text/subword_model.h"

namespace saferclip {

// A merge a line, "#version" lines and empty ones left out, at most `most`; a byte order mark and
// carriage returns are skipped. Throws DataError with file and line.
MergeList read_merge_lines(const std::string& text, const std::filesystem::path& file,
                           std::size_t most);

}  // namespace saferclip
