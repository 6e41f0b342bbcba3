// A folder may hold one folder per split, each with metadata of its own, as `datasets` writes them;
// since nothing here splits data by folders, the message names them.
#include "data/row_list.h"

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "data/class_rows.h"
#include "saferclip/core/error.h"
#include "saferclip/core/files.h"
#include "saferclip/core/text_format.h"
#include "saferclip/io/shard_paths.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

constexpr std::array kMetadata{"metadata.jsonl", "metadata.csv"};

bool has_metadata(const fs::path& folder) {
  return std::any_of(kMetadata.begin(), kMetadata.end(),
                     [&](const char* name) { return is_file(folder / name); });
}

// What a folder without metadata holds instead.
struct FolderContent {
  std::vector<std::string> listed_folders;  // those with metadata of their own, sorted
  bool has_shards = false;
};

FolderContent content_of(const fs::path& folder) {
  FolderContent content;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    content.has_shards = content.has_shards || names_shards(entry.path());
    if (entry.is_directory(error) && has_metadata(entry.path()))
      content.listed_folders.push_back(entry.path().filename().string());
  }
  std::sort(content.listed_folders.begin(), content.listed_folders.end());
  return content;
}

std::string hint_of_content(const FolderContent& content, const fs::path& folder) {
  if (content.has_shards) return cat("; it has shards: name them, ", (folder / "*.tar").string());
  if (content.listed_folders.empty()) return ", and without folders of images, one per class";
  return cat("; folders in it that have one: ", join(shortened(content.listed_folders, 5), ", "),
             "; name such a folder for each split");
}

}  // namespace

RowList row_list(const fs::path& path) {
  std::error_code error;
  if (!fs::is_directory(path, error)) return {path, {}, false};
  const bool has_lines = is_file(path / kMetadata[0]);
  const bool has_table = is_file(path / kMetadata[1]);
  if (has_lines && has_table) {
    throw DataError(cat(path.string(), ": has both ", kMetadata[0], " and ", kMetadata[1],
                        ", and either could be meant; remove one, or name the file instead of "
                        "the folder"));
  }
  if (!has_lines && !has_table) {
    const FolderContent content = content_of(path);
    const bool is_other = content.has_shards || !content.listed_folders.empty();
    if (!is_other && has_class_folders(path)) return {path, path, true};
    throw DataError(cat(path.string(), ": is a folder without ", kMetadata[0], " or ", kMetadata[1],
                        ", one of which an image folder has (columns file_name and text or "
                        "caption)",
                        hint_of_content(content, path),
                        "; or name a manifest, which `saferclip init --data` writes for a folder "
                        "of images and captions"));
  }
  return {path / kMetadata[has_lines ? 0 : 1], path, false};
}

ShardRows read_listed_rows(const RowList& list, const std::string& class_caption) {
  if (list.has_classes) return read_class_rows(list.file, class_caption);
  if (names_shards(list.file)) return read_shard_rows(shard_paths(list.file));
  return {read_text_table(list.file), {}, {}};
}

}  // namespace saferclip
