// A folder is looked at as an image folder first, as `datasets` does, then for folders of classes.
#include "data/row_list.h"

#include <algorithm>
#include <array>
#include <string>

#include "data/class_rows.h"
#include "data/file_walk.h"
#include "data/image_folder.h"
#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"
#include "saferclip/io/shard_paths.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

constexpr std::array kListEndings{".json", ".jsonl", ".csv", ".tsv", ".parquet"};
constexpr std::size_t kNamedFiles = 5;

// What a folder that lists no images holds instead.
struct FolderContent {
  bool has_shards = false;
  std::vector<std::string> lists;  // files that may be manifests, ordered by name
};

FolderContent content_of(const fs::path& folder) {
  FolderContent content;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    content.has_shards = content.has_shards || names_shards(entry.path());
    const std::string ending = lower_ascii(entry.path().extension().string());
    const bool is_list =
        std::find(kListEndings.begin(), kListEndings.end(), ending) != kListEndings.end();
    if (is_list) content.lists.push_back(entry.path().filename().string());
  }
  std::sort(content.lists.begin(), content.lists.end());
  return content;
}

std::string hint_of(const FolderContent& content, const fs::path& folder) {
  if (content.has_shards)
    return cat("; it has shards: name them, '", pattern_of_shards(folder), "'");
  const std::string none = ", and without folders of images, one per class";
  if (content.lists.empty()) return none;
  return cat(none, "; it has files that may be lists: name one of ",
             join(shortened(content.lists, kNamedFiles), ", "));
}

}  // namespace

RowList row_list(const fs::path& path) {
  std::error_code error;
  if (!fs::is_directory(path, error)) return {path, {}, false, {}};
  const std::vector<fs::path> lists = metadata_files(path);
  if (!lists.empty()) return {lists.size() == 1 ? lists.front() : path, path, false, lists};
  const FolderContent content = content_of(path);
  if (!content.has_shards && has_class_folders(path)) return {path, path, true, {}};
  throw DataError(cat(
      path.string(), ": is a folder without metadata.jsonl or metadata.csv, one of ",
      "which an image folder has (columns file_name and text or caption)", hint_of(content, path),
      "; or name a manifest, which `saferclip init --data` writes for a folder "
      "of images and captions"));
}

ShardRows read_listed_rows(const RowList& list, const std::string& class_caption) {
  if (list.has_classes) return read_class_rows(list.file, class_caption);
  if (!list.metadata.empty()) return read_metadata(list.image_root, list.metadata);
  if (names_shards(list.file)) return read_shard_rows(shard_paths(list.file));
  return {read_text_table(list.file), {}, {}, {}};
}

}  // namespace saferclip
