// The columns of a manifest, and which of them are not read.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace saferclip {

// The columns, or keys of the first 1000 records, that are not read, in file order: for example a
// `category` that was meant as `tag`. Throws DataError when the file cannot be read.
std::vector<std::string> unread_columns(const std::filesystem::path& file);

struct ManifestColumns {
  std::vector<std::string> unread;  // as unread_columns
  bool has_ids = false;
  bool has_unsafe = false;  // unsafe captions
};
ManifestColumns manifest_columns(const std::filesystem::path& file);

// Whether a folder lists its images in metadata.jsonl or metadata.csv, in it or below it. Throws
// DataError for such a folder that cannot be read as one.
bool is_image_folder(const std::filesystem::path& folder);

}  // namespace saferclip
