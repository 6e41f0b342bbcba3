// The columns of a manifest that are not read.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace saferclip {

// The columns, or keys of the first 1000 records, that are not read, in file order: for example a
// `category` that was meant as `tag`. Throws DataError when the file cannot be read.
std::vector<std::string> unread_columns(const std::filesystem::path& file);

}  // namespace saferclip
