// Which file lists the rows that a path of the configuration names.
#pragma once

#include <filesystem>

namespace saferclip {

struct RowList {
  std::filesystem::path file;
  std::filesystem::path image_root;  // of an image folder; empty: the configuration's
};

// A file lists its own rows; a folder is an image folder as Hugging Face's `imagefolder` reads it,
// with metadata.jsonl or metadata.csv. Throws DataError for a folder with neither or both.
RowList row_list(const std::filesystem::path& path);

}  // namespace saferclip
