// The columns of a list that mean nothing to it.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace saferclip {

// Names of columns, or of keys of the first records, that nothing is read from, in the order of the
// file: a `category` that was meant as `tag`. Throws DataError when the file cannot be read.
std::vector<std::string> unread_columns(const std::filesystem::path& file);

}  // namespace saferclip
