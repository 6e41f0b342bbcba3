// A folder may hold one folder per split, each with metadata of its own, as `datasets` writes them;
// since nothing here splits data by folders, the message names them.
#include "data/row_list.h"

#include <algorithm>
#include <array>
#include <string>
#include <vector>

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

// Folders below that are image folders, or tars.
std::string hint_of_content(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  bool has_shards = false;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    has_shards = has_shards || names_shards(entry.path());
    if (entry.is_directory(error) && has_metadata(entry.path()))
      names.push_back(entry.path().filename().string());
  }
  if (has_shards) return cat("; it has shards: name them, ", (folder / "*.tar").string());
  if (names.empty()) return "";
  std::sort(names.begin(), names.end());
  return cat("; folders in it that have one: ", join(shortened(names, 5), ", "),
             "; name such a folder for each split");
}

}  // namespace

RowList row_list(const fs::path& path) {
  std::error_code error;
  if (!fs::is_directory(path, error)) return {path, {}};
  const bool has_lines = is_file(path / kMetadata[0]);
  const bool has_table = is_file(path / kMetadata[1]);
  if (has_lines && has_table) {
    throw DataError(cat(path.string(), ": has both ", kMetadata[0], " and ", kMetadata[1],
                        ", and either could be meant; remove one, or name the file instead of "
                        "the folder"));
  }
  if (!has_lines && !has_table) {
    throw DataError(cat(path.string(), ": is a folder without ", kMetadata[0], " or ", kMetadata[1],
                        ", one of which an image folder has (columns file_name and text or "
                        "caption)",
                        hint_of_content(path),
                        "; or name a manifest, which `saferclip init --data` writes for a folder "
                        "of images and captions"));
  }
  return {path / kMetadata[has_lines ? 0 : 1], path};
}

ShardRows read_listed_rows(const fs::path& file) {
  if (names_shards(file)) return read_shard_rows(shard_paths(file));
  return {read_text_table(file), {}, {}};
}

}  // namespace saferclip
