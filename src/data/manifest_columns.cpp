// Lists the columns that nothing reads. It looks at the column names and the keys of the first
// thousand records: enough to notice a misspelled field without parsing every record of a large
// file. The known names are those of manifest_fields, so the two cannot disagree.
#include "saferclip/data/manifest_columns.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "data/image_folder.h"
#include "data/manifest_fields.h"
#include "data/row_list.h"
#include "saferclip/io/text_rows.h"

namespace saferclip {

bool is_image_folder(const std::filesystem::path& folder) {
  return !metadata_files(folder).empty();
}

std::vector<std::string> unread_columns(const std::filesystem::path& file) {
  return manifest_columns(file).unread;
}

ManifestColumns manifest_columns(const std::filesystem::path& file) {
  constexpr std::size_t kFirst = 1000;
  const RowList list = row_list(file);
  if (list.has_classes) return {};
  const TextTable table = read_listed_rows(list, "").table;
  SeenFields fields;
  fields.see(table.columns);
  for (std::size_t i = 0; i < std::min(table.rows.size(), kFirst); ++i) {
    if (!table.rows[i].problem.empty()) continue;
    const auto record = nlohmann::json::parse(table.rows[i].json, nullptr, false);
    if (record.is_object()) fields.see(record);
  }
  return {fields.unread(), fields.has_any(kIdNames), fields.has_any(kUnsafeCaptionNames)};
}

}  // namespace saferclip
