// Reads the classes of a zero-shot set in the forms that published sets use: TSV, JSON, lists of
// names and folders, folder names, or the labels of picture lists. A class's id is its position
// after left-out classes are dropped. Labels are matched with folders first; they are read as
// positions only if all unmatched ones are valid positions and the matched ones agree.
#include "evaluate/zero_shot_classes.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <sstream>

#include "saferclip/core/error.h"
#include "saferclip/core/text_file.h"
#include "saferclip/core/text_format.h"
#include "saferclip/image/picture_files.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

constexpr std::size_t kListed = 10;

std::vector<std::string> split_tabs(const std::string& line) {
  std::vector<std::string> fields;
  std::istringstream in(line);
  for (std::string field; std::getline(in, field, '\t');) fields.push_back(field);
  return fields;
}

// The parts of a path in reverse order, without the single-letter folder:
// "/a/apartment_building/outdoor" gives "outdoor apartment_building".
std::string name_of_path(const std::string& path) {
  std::vector<std::string> parts;
  for (const fs::path& part : fs::path(path)) {
    if (part != "/" && part.string().size() > 1) parts.insert(parts.begin(), part.string());
  }
  return join(parts, " ");
}

// A header line such as "name<tab>folder", which is no class.
bool is_head(const std::vector<std::string>& fields) {
  static const std::set<std::string> kNames{"name", "class", "class_name", "classname", "label"};
  static const std::set<std::string> kFolders{"folder", "dir", "directory", "wnid", "synset", "id"};
  return fields.size() > 1 && kNames.contains(fields[0]) && kFolders.contains(fields[1]);
}

class ClassReader {
 public:
  explicit ClassReader(const ZeroShotOptions& options) : o_(options) {
    const fs::path root(o_.images);
    classes_.source = o_.class_form == ClassForm::kTsv ? o_.classes
                      : o_.class_file.empty()          ? root.string()
                                                       : (root / o_.class_file).string();
  }

  ZeroShotClasses read(const std::vector<std::string>& labels) {
    if (o_.class_form == ClassForm::kTsv) {
      read_tsv();
    } else if (o_.class_form == ClassForm::kFolders) {
      for (const std::string& folder : folder_names()) add(folder, folder);
    } else if (o_.class_form == ClassForm::kLists) {
      for (const std::string& label : std::set<std::string>(labels.begin(), labels.end())) {
        add(label, label);
      }
    } else if (o_.class_form == ClassForm::kJson) {
      read_json();
    } else {
      for (const std::string& line : read_lines(classes_.source)) read_line(line);
    }
    if (classes_.names.empty()) throw DataError(cat(classes_.source, ": contains no classes"));
    const auto is_empty = [](const std::string& group) { return group.empty(); };
    if (std::all_of(classes_.groups.begin(), classes_.groups.end(), is_empty)) {
      classes_.groups.clear();
    }
    return std::move(classes_);
  }

 private:
  void add(std::string name, const std::string& folder, const std::string& group = "") {
    if (std::find(o_.leave_out.begin(), o_.leave_out.end(), folder) != o_.leave_out.end()) return;
    if (o_.only_present && !fs::is_directory(zero_shot_pictures(o_) / folder)) return;
    if (const auto other = o_.rename.find(folder); other != o_.rename.end()) name = other->second;
    const auto id = static_cast<std::int64_t>(classes_.names.size());
    const std::string key = o_.folder_is_index ? std::to_string(id) : folder;
    if (!classes_.by_folder.emplace(key, id).second) {
      throw DataError(cat(classes_.source, ": folder \"", key, "\" belongs to two classes"));
    }
    classes_.names.push_back(std::move(name));
    classes_.groups.push_back(group);
  }

  void read_tsv() {
    bool is_first = true;
    for (const std::string& line : read_lines(o_.classes)) {
      const std::vector<std::string> fields = split_tabs(line);
      if (is_first && is_head(fields)) {
        classes_.notes.push_back(
            cat(o_.classes, ": its first line is read as a header, not as a class"));
      } else {
        const bool has_folder = fields.size() > 1 && !fields[1].empty();
        add(fields[0], fields[has_folder ? 1 : 0], fields.size() > 2 ? fields[2] : "");
      }
      is_first = false;
    }
  }

  void read_line(const std::string& line) {
    const std::size_t blank = line.find_first_of(" \t");
    const std::string first = line.substr(0, blank);
    const std::string rest =
        blank == std::string::npos ? "" : line.substr(line.find_first_not_of(" \t", blank));
    if (o_.class_form == ClassForm::kName) return add(line, line);
    if (o_.class_form == ClassForm::kNumberName) return add(rest, rest);
    if (o_.class_form == ClassForm::kFolderName) return add(rest, first);
    add(name_of_path(line), line.front() == '/' ? line.substr(1) : line);
  }

  void read_json() {
    const auto json = nlohmann::json::parse(read_text_file(classes_.source), nullptr, false);
    if (!json.is_object()) {
      throw DataError(cat(classes_.source, ": expected an object {folder: class name}"));
    }
    std::map<std::pair<std::size_t, std::string>, std::string> by_number;  // "2" before "10"
    for (const auto& [folder, name] : json.items()) {
      by_number[{folder.size(), folder}] = name.is_string() ? name.get<std::string>() : name.dump();
    }
    for (const auto& [folder, name] : by_number) add(name, folder.second);
  }

  std::vector<std::string> folder_names() const {
    const fs::path pictures = zero_shot_pictures(o_);
    if (!fs::is_directory(pictures)) throw DataError(cat(pictures.string(), ": no such folder"));
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(pictures)) {
      const std::string name = entry.path().filename().string();
      if (entry.is_directory() && !is_system_file(name)) names.push_back(name);
    }
    std::sort(names.begin(), names.end());
    return names;
  }

  const ZeroShotOptions& o_;
  ZeroShotClasses classes_;
};

// A label that is a whole number: "3", or "3.0" from a table with gaps.
std::optional<std::int64_t> position_of(const std::string& label) {
  const std::string digits = label.ends_with(".0") ? label.substr(0, label.size() - 2) : label;
  const bool is_number = !digits.empty() && digits.size() < 10 &&
                         digits.find_first_not_of("0123456789") == std::string::npos;
  return is_number ? std::optional<std::int64_t>(std::stoll(digits)) : std::nullopt;
}

std::string quoted(const std::vector<std::string>& labels) {
  std::vector<std::string> parts;
  for (const std::string& label : shortened(labels, kListed)) {
    parts.push_back(label.starts_with("…") ? label : cat('"', label, '"'));
  }
  return join(parts, ", ");
}

}  // namespace

fs::path zero_shot_pictures(const ZeroShotOptions& options) {
  return options.folder.empty() ? fs::path(options.images)
                                : fs::path(options.images) / options.folder;
}

ZeroShotClasses read_zero_shot_classes(const ZeroShotOptions& options,
                                       const std::vector<std::string>& labels) {
  return ClassReader(options).read(labels);
}

std::vector<std::int64_t> classes_of_labels(ZeroShotClasses& classes,
                                            const std::vector<std::string>& labels,
                                            const std::string& where) {
  const auto count = static_cast<std::int64_t>(classes.names.size());
  std::map<std::string, std::int64_t> ids;
  std::vector<std::string> unknown;
  bool are_positions = true, are_names = true;
  for (const std::string& label : std::set<std::string>(labels.begin(), labels.end())) {
    const auto position = position_of(label);
    auto found = classes.by_folder.find(label);
    if (found == classes.by_folder.end() && position) {
      found = classes.by_folder.find(std::to_string(*position));
    }
    if (found != classes.by_folder.end()) {
      ids[label] = found->second;
      are_positions = are_positions && position == found->second;
      continue;
    }
    are_positions = are_positions && position && *position < count;
    are_names = are_names &&
                std::find(classes.names.begin(), classes.names.end(), label) != classes.names.end();
    unknown.push_back(label);
  }
  if (!unknown.empty() && are_positions) {
    for (const std::string& label : unknown) ids[label] = *position_of(label);
    classes.notes.push_back(cat(where, ": labels are read as positions in ", classes.source,
                                ", starting at 0 (", classes.names.front(), ")"));
    unknown.clear();
  }
  if (!unknown.empty()) {
    const bool are_numbers = std::all_of(unknown.begin(), unknown.end(),
                                         [](const auto& label) { return position_of(label); });
    const std::string cure =
        are_names ? std::string("; they are class names there, but with other folders: write ") +
                        "NAME, a tab, FOLDER (the label) in each line, or the name alone"
        : are_numbers ? cat("; whole numbers are positions from 0 to ", count - 1)
                      : "";
    throw DataError(cat(where, ": ", unknown.size(),
                        unknown.size() == 1 ? " label is" : " labels are", " not in ",
                        classes.source, ": ", quoted(unknown), cure));
  }
  std::vector<std::int64_t> result;
  result.reserve(labels.size());
  for (const std::string& label : labels) result.push_back(ids.at(label));
  return result;
}

}  // namespace saferclip
