// The rows that a path of the configuration names: a manifest's, an image folder's, class folders',
// or shards'.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "data/shard_rows.h"

namespace saferclip {

struct RowList {
  // Or a pattern of shards, a folder of class folders, an image folder with several lists.
  std::filesystem::path file;
  std::filesystem::path image_root;             // of an image folder; empty: the configuration's
  bool has_classes = false;                     // the folders in `file` are classes
  std::vector<std::filesystem::path> metadata;  // an image folder's lists, in order
};

// A file lists its own rows; a folder is an image folder as Hugging Face's `imagefolder` reads it,
// with metadata.jsonl or metadata.csv in it or below it, or without them, with a folder of images
// per class. Throws DataError for a folder with both kinds of list, or with neither and no class.
RowList row_list(const std::filesystem::path& path);

// The rows of a list; `class_caption` words those of classes. `pictures` is empty if they are not
// in shards.
ShardRows read_listed_rows(const RowList& list, const std::string& class_caption);

}  // namespace saferclip
