// The rows that a path of the configuration names: a manifest's, an image folder's, class folders',
// or shards'.
#pragma once

#include <filesystem>
#include <string>

#include "data/shard_rows.h"

namespace saferclip {

struct RowList {
  std::filesystem::path file;        // or a pattern of shards, or a folder of class folders
  std::filesystem::path image_root;  // of an image folder; empty: the configuration's
  bool has_classes = false;          // the folders in `file` are classes
};

// A file lists its own rows; a folder is an image folder as Hugging Face's `imagefolder` reads it,
// with metadata.jsonl or metadata.csv, or without them, with a folder of images per class. Throws
// DataError for a folder with both lists, or with neither and no class.
RowList row_list(const std::filesystem::path& path);

// The rows of a list; `class_caption` words those of classes. `pictures` is empty if they are not
// in shards.
ShardRows read_listed_rows(const RowList& list, const std::string& class_caption);

}  // namespace saferclip
