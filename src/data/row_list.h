// The rows that a path of the configuration names: a manifest's, an image folder's, or shards'.
#pragma once

#include <filesystem>

#include "data/shard_rows.h"

namespace saferclip {

struct RowList {
  std::filesystem::path file;        // or a pattern of shards
  std::filesystem::path image_root;  // of an image folder; empty: the configuration's
};

// A file lists its own rows; a folder is an image folder as Hugging Face's `imagefolder` reads it,
// with metadata.jsonl or metadata.csv. Throws DataError for a folder with neither or both.
RowList row_list(const std::filesystem::path& path);

// The rows of a list's file; `pictures` is empty if they are not in shards.
ShardRows read_listed_rows(const std::filesystem::path& file);

}  // namespace saferclip
