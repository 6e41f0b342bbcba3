// A folder is looked at as an image folder first, as `datasets` does, then for folders of classes.
#include "data/row_list.h"

#include <algorithm>
#include <string>

#include "data/class_rows.h"
#include "data/image_folder.h"
#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"
#include "saferclip/io/shard_paths.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

bool has_shards(const fs::path& folder) {
  std::error_code error;
  const fs::directory_iterator entries(folder, error);
  return std::any_of(begin(entries), end(entries),
                     [](const auto& entry) { return names_shards(entry.path()); });
}

}  // namespace

RowList row_list(const fs::path& path) {
  std::error_code error;
  if (!fs::is_directory(path, error)) return {path, {}, false, {}};
  const std::vector<fs::path> lists = metadata_files(path);
  if (!lists.empty()) return {lists.size() == 1 ? lists.front() : path, path, false, lists};
  const bool is_of_shards = has_shards(path);
  if (!is_of_shards && has_class_folders(path)) return {path, path, true, {}};
  throw DataError(cat(path.string(),
                      ": is a folder without metadata.jsonl or metadata.csv, one of ",
                      "which an image folder has (columns file_name and text or caption)",
                      is_of_shards ? cat("; it has shards: name them, ", (path / "*.tar").string())
                                   : ", and without folders of images, one per class",
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
