// A list names files from its own folder, so each row keeps that folder. `datasets` refuses lists
// of several kinds too; it reads Parquet, which needs Python here, so the cure is a command.
#include "data/image_folder.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>

#include "data/file_walk.h"
#include "saferclip/core/error.h"
#include "saferclip/core/shell_word.h"
#include "saferclip/core/text_format.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

constexpr const char* kLines = "metadata.jsonl";
constexpr const char* kTable = "metadata.csv";
constexpr const char* kParquet = "metadata.parquet";
constexpr std::size_t kNamedLists = 5;

std::string names_of(const std::vector<fs::path>& files, const fs::path& folder) {
  std::vector<std::string> names;
  names.reserve(files.size());
  for (const fs::path& file : files) names.push_back(file.lexically_relative(folder).string());
  return join(shortened(names, kNamedLists), ", ");
}

[[noreturn]] void throw_parquet(const std::vector<fs::path>& files, const fs::path& folder) {
  std::string command = "scripts/import_parquet";
  for (const fs::path& file : files) command += " " + shell_word(file.string());
  const fs::path manifest = folder / "rows.jsonl";
  throw DataError(cat(folder.string(), ": ", names_of(files, folder),
                      " is Parquet, which is read by a script of the repository; run `", command,
                      " --out ", shell_word(manifest.string()), "`, then name ", manifest.string(),
                      " instead of the folder"));
}

// The folders named as splits on the way to a list, each once.
std::vector<std::string> splits_of(const std::vector<fs::path>& files, const fs::path& folder) {
  std::set<std::string> splits;
  for (const fs::path& file : files) {
    fs::path at;
    for (const fs::path& part : file.lexically_relative(folder).parent_path()) {
      at /= part;
      if (is_split_name(part.string())) {
        splits.insert(at.string());
        break;
      }
    }
  }
  return {splits.begin(), splits.end()};
}

}  // namespace

std::vector<fs::path> metadata_files(const fs::path& folder) {
  std::map<std::string, std::vector<fs::path>> by_kind;
  FileWalk([&](const fs::path& file) {
    const std::string name = file.filename().string();
    if (name == kLines || name == kTable || name == kParquet) by_kind[name].push_back(file);
    return true;
  }).below(folder);
  if (by_kind.empty()) return {};
  if (by_kind.size() > 1) {
    std::vector<std::string> kinds;
    for (auto& [kind, files] : by_kind) {
      std::sort(files.begin(), files.end());
      kinds.push_back(names_of(files, folder));
    }
    throw DataError(cat(folder.string(), ": has lists of several kinds, and which is meant is ",
                        "unknown: ", join(kinds, ", "), "; keep ", kLines, " or ", kTable,
                        ", or name one file instead of the folder"));
  }
  std::vector<fs::path>& files = by_kind.begin()->second;
  std::sort(files.begin(), files.end());
  if (const auto splits = splits_of(files, folder); !splits.empty()) {
    throw DataError(cat(folder.string(), ": folders that have a ", by_kind.begin()->first,
                        " are named as splits: ", join(shortened(splits, kNamedLists), ", "),
                        "; name the folder of one split, such as ",
                        (folder / splits.front()).string()));
  }
  if (by_kind.begin()->first == kParquet) throw_parquet(files, folder);
  return files;
}

ShardRows read_metadata(const fs::path& folder, const std::vector<fs::path>& files) {
  ShardRows all;
  std::set<std::string> columns;
  for (const fs::path& file : files) {
    TextTable table = read_text_table(file);
    if (table.columns.empty() != all.table.columns.empty() && !all.table.rows.empty()) {
      throw DataError(cat(folder.string(), ": ", names_of({files.front(), file}, folder),
                          ": one is a table, the other JSON; write both in one form"));
    }
    for (const std::string& column : table.columns) {
      if (columns.insert(column).second) all.table.columns.push_back(column);
    }
    for (TextRow& row : table.rows) {
      RowPlace place{file.parent_path(), ""};
      if (files.size() > 1) {
        place.text = cat(file.lexically_relative(folder).string(), ":", row.line);
        row.line = row.record = static_cast<int>(all.table.rows.size()) + 1;
      }
      all.places.push_back(std::move(place));
      all.table.rows.push_back(std::move(row));
    }
  }
  return all;
}

}  // namespace saferclip
