// The rows of a folder that has one folder of images per class, as torchvision's ImageFolder.
#pragma once

#include <filesystem>
#include <string>

#include "data/shard_rows.h"

namespace saferclip {

// Whether a folder in `folder` holds an image, at any depth.
bool has_class_folders(const std::filesystem::path& folder);

// A row per image below a class's folder: `id` and `file_name` (its path from `folder`), `caption`
// ({} replaced by the class) and `tag` (the class in lower case). The class is the folder's name
// with _ and - as blanks. Rows are ordered by path. `notes` count what is left out: other files,
// images in no class folder, folders without images. Throws DataError if the folders are splits.
ShardRows read_class_rows(const std::filesystem::path& folder, const std::string& caption);

}  // namespace saferclip
