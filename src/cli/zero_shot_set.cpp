#include "cli/zero_shot_set.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "saferclip/core/error.h"
#include "saferclip/core/files.h"
#include "saferclip/core/text_format.h"
#include "saferclip/io/text_rows.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

std::vector<std::string> split_tabs(const std::string& line) {
  std::vector<std::string> fields;
  std::istringstream in(line);
  for (std::string field; std::getline(in, field, '\t');) fields.push_back(field);
  return fields;
}

std::vector<std::string> text_lines(const fs::path& file) {
  std::vector<std::string> lines;
  std::istringstream in(read_file(file));
  for (std::string line; std::getline(in, line);) {
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (!line.empty()) lines.push_back(line);
  }
  return lines;
}

// Class index by folder name (the class name when none is written).
std::map<std::string, std::int64_t> read_classes(const fs::path& file, ZeroShotSet& set) {
  std::map<std::string, std::int64_t> by_folder;
  bool has_groups = false;
  for (const std::string& line : text_lines(file)) {
    const std::vector<std::string> fields = split_tabs(line);
    const auto id = static_cast<std::int64_t>(set.classes.size());
    set.classes.push_back(fields[0]);
    const std::string folder = fields.size() > 1 && !fields[1].empty() ? fields[1] : fields[0];
    if (!by_folder.emplace(folder, id).second) {
      throw DataError(cat(file.string(), ": folder \"", folder, "\" belongs to two classes"));
    }
    set.groups.push_back(fields.size() > 2 ? fields[2] : "");
    has_groups = has_groups || !set.groups.back().empty();
  }
  if (set.classes.empty()) throw DataError(cat(file.string(), ": holds no classes"));
  if (!has_groups) set.groups.clear();
  return by_folder;
}

void read_folders(const fs::path& root, const std::map<std::string, std::int64_t>& by_folder,
                  ZeroShotSet& set) {
  std::vector<std::pair<fs::path, std::int64_t>> found;
  for (const auto& folder : fs::directory_iterator(root)) {
    if (!folder.is_directory()) continue;
    const auto id = by_folder.find(folder.path().filename().string());
    if (id == by_folder.end()) {
      throw DataError(
          cat(folder.path().string(), ": this folder belongs to no class of the classes file"));
    }
    for (const auto& entry : fs::directory_iterator(folder)) {
      if (entry.is_regular_file() && !entry.path().filename().string().starts_with(".")) {
        found.emplace_back(entry.path(), id->second);
      }
    }
  }
  std::sort(found.begin(), found.end());
  for (const auto& [path, label] : found) {
    set.images.push_back(path);
    set.labels.push_back(label);
  }
}

void read_table(const fs::path& file, const std::map<std::string, std::int64_t>& by_folder,
                ZeroShotSet& set) {
  for (const TextRow& row : read_text_rows(file)) {
    const std::string where = cat(file.string(), ":", row.line);
    if (!row.problem.empty()) throw DataError(cat(where, ": ", row.problem));
    const auto json = nlohmann::json::parse(row.json);
    const std::string label = json.value("label", "");
    const auto id = by_folder.find(label);
    if (id == by_folder.end())
      throw DataError(cat(where, ": label \"", label, "\" is no class of the classes file"));
    const fs::path path(json.value("file", ""));
    set.images.push_back(path.is_absolute() ? path : file.parent_path() / path);
    set.labels.push_back(id->second);
  }
}

std::vector<std::string> read_templates(const ZeroShotOptions& options) {
  std::vector<std::string> templates = options.templates;
  const bool is_file = templates.size() == 1 && templates[0].find("{}") == std::string::npos;
  if (is_file) templates = text_lines(templates[0]);
  for (const std::string& text : templates) {
    if (text.find("{}") == std::string::npos) {
      throw DataError(cat("zero-shot set ", options.name, ": template \"", text,
                          "\" has no {} for the class name"));
    }
  }
  return templates;
}

}  // namespace

ZeroShotSet read_zero_shot_set(const ZeroShotOptions& options) {
  ZeroShotSet set;
  set.name = options.name;
  const auto by_folder = read_classes(options.classes, set);
  const fs::path images(options.images);
  if (fs::is_directory(images)) {
    read_folders(images, by_folder, set);
  } else {
    read_table(images, by_folder, set);
  }
  if (set.images.empty())
    throw DataError(cat(images.string(), ": holds no pictures (zero-shot set ", set.name, ")"));
  const std::vector<std::string> templates = read_templates(options);
  for (std::string name : set.classes) {
    std::replace(name.begin(), name.end(), '_', ' ');
    for (std::string prompt : templates)
      set.prompts.push_back(prompt.replace(prompt.find("{}"), 2, name));
  }
  return set;
}

}  // namespace saferclip
