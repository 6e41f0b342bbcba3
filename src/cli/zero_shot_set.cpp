#include "cli/zero_shot_set.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "saferclip/core/error.h"
#include "saferclip/core/text_file.h"
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

// Parts of a path in reverse order, the leading letter left out: "/a/apartment_building/outdoor" is
// "outdoor apartment_building".
std::string name_of_path(const std::string& path) {
  std::vector<std::string> parts;
  for (const fs::path& part : fs::path(path)) {
    if (part != "/" && part.string().size() > 1) parts.insert(parts.begin(), part.string());
  }
  return join(parts, " ");
}

// The text behind the first blank of a line.
std::string rest_of(const std::string& line) {
  const std::size_t blank = line.find_first_of(" \t");
  return blank == std::string::npos ? "" : line.substr(line.find_first_not_of(" \t", blank));
}

std::string first_of(const std::string& line) { return line.substr(0, line.find_first_of(" \t")); }

class Reader {
 public:
  explicit Reader(const ZeroShotOptions& options) : o_(options), root_(options.images) {}

  ZeroShotSet read() {
    set_.name = o_.name;
    if (o_.class_form == "lists") read_lists();
    read_classes();
    if (!o_.lists.empty()) {
      if (o_.class_form != "lists") read_lists();
    } else if (fs::is_directory(root_)) {
      read_folders();
    } else {
      read_table();
    }
    if (set_.images.empty()) {
      throw DataError(cat(root_.string(), ": holds no pictures (zero-shot set ", o_.name, ")"));
    }
    label_pictures();
    check();
    make_prompts();
    return std::move(set_);
  }

 private:
  fs::path pictures() const { return o_.folder.empty() ? root_ : root_ / o_.folder; }

  void add_class(std::string name, const std::string& folder, const std::string& group = "") {
    if (std::find(o_.leave_out.begin(), o_.leave_out.end(), folder) != o_.leave_out.end()) return;
    if (o_.only_present && !fs::is_directory(pictures() / folder)) return;
    if (const auto other = o_.rename.find(folder); other != o_.rename.end()) name = other->second;
    const auto id = static_cast<std::int64_t>(set_.classes.size());
    const std::string key = o_.folder_is_index ? std::to_string(id) : folder;
    if (!by_folder_.emplace(key, id).second) {
      throw DataError(cat(class_source(), ": folder \"", key, "\" belongs to two classes"));
    }
    set_.classes.push_back(std::move(name));
    set_.groups.push_back(group);
  }

  std::string class_source() const {
    if (o_.class_form == "tsv") return o_.classes;
    return o_.class_file.empty() ? root_.string() : (root_ / o_.class_file).string();
  }

  void read_classes() {
    if (o_.class_form == "tsv") {
      for (const std::string& line : read_lines(o_.classes)) {
        const std::vector<std::string> fields = split_tabs(line);
        const bool has_folder = fields.size() > 1 && !fields[1].empty();
        add_class(fields[0], fields[has_folder ? 1 : 0], fields.size() > 2 ? fields[2] : "");
      }
    } else if (o_.class_form == "folders") {
      for (const std::string& folder : folder_names()) add_class(folder, folder);
    } else if (o_.class_form == "lists") {
      std::set<std::string> labels(labels_.begin(), labels_.end());
      for (const std::string& label : labels) add_class(label, label);
    } else if (o_.class_form == "json") {
      read_json_classes();
    } else {
      for (const std::string& line : read_lines(class_source())) read_class_line(line);
    }
    if (set_.classes.empty()) throw DataError(cat(class_source(), ": holds no classes"));
    const auto is_empty = [](const std::string& group) { return group.empty(); };
    if (std::all_of(set_.groups.begin(), set_.groups.end(), is_empty)) set_.groups.clear();
  }

  void read_class_line(const std::string& line) {
    if (o_.class_form == "name") return add_class(line, line);
    if (o_.class_form == "number_name") return add_class(rest_of(line), rest_of(line));
    if (o_.class_form == "folder_name") return add_class(rest_of(line), first_of(line));
    add_class(name_of_path(line), line.front() == '/' ? line.substr(1) : line);
  }

  void read_json_classes() {
    const auto json = nlohmann::json::parse(read_text_file(class_source()), nullptr, false);
    if (!json.is_object()) {
      throw DataError(cat(class_source(), ": expected an object {folder: class name}"));
    }
    std::map<std::pair<std::size_t, std::string>, std::string> by_number;  // "2" before "10"
    for (const auto& [folder, name] : json.items()) {
      by_number[{folder.size(), folder}] = name.is_string() ? name.get<std::string>() : name.dump();
    }
    for (const auto& [folder, name] : by_number) add_class(name, folder.second);
  }

  std::vector<std::string> folder_names() const {
    if (!fs::is_directory(pictures()))
      throw DataError(cat(pictures().string(), ": no such folder"));
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(pictures())) {
      const std::string name = entry.path().filename().string();
      if (entry.is_directory() && !name.starts_with(".")) names.push_back(name);
    }
    std::sort(names.begin(), names.end());
    return names;
  }

  void add_picture(const fs::path& path, const std::string& label) {
    set_.images.push_back(path);
    labels_.push_back(label);
  }

  void read_folders() {
    if (o_.class_form != "path") {
      for (const std::string& name : folder_names()) {
        const bool is_out =
            std::find(o_.leave_out.begin(), o_.leave_out.end(), name) != o_.leave_out.end();
        if (!is_out && !by_folder_.contains(name)) {
          throw DataError(cat((pictures() / name).string(), ": this folder belongs to no class of ",
                              class_source()));
        }
      }
    }
    for (const auto& [folder, id] : by_folder_) {
      std::error_code error;
      std::vector<fs::path> files;
      for (const auto& entry : fs::directory_iterator(pictures() / folder, error)) {
        const bool is_hidden = entry.path().filename().string().starts_with(".");
        if (entry.is_regular_file() && !is_hidden) files.push_back(entry.path());
      }
      std::sort(files.begin(), files.end());
      for (const fs::path& file : files) add_picture(file, folder);
    }
  }

  void read_table() {
    for (const TextRow& row : read_text_rows(root_)) {
      const std::string where = cat(root_.string(), ":", row.line);
      if (!row.problem.empty()) throw DataError(cat(where, ": ", row.problem));
      const auto json = nlohmann::json::parse(row.json);
      const fs::path path(json.value("file", ""));
      add_picture(path.is_absolute() ? path : root_.parent_path() / path, json.value("label", ""));
    }
  }

  void read_lists() {
    for (const std::string& list : o_.lists) {
      for (const std::string& line : read_lines(root_ / list)) {
        fs::path path(first_of(line));
        std::string label = path.parent_path().string();
        if (o_.list_label == "column") label = rest_of(line);
        if (o_.list_label == "stem") {
          const std::string stem = path.stem().string();
          label = stem.substr(0, stem.rfind('_'));
        }
        if (!o_.extension.empty()) path.replace_extension(o_.extension);
        add_picture(pictures() / path, label);
      }
    }
  }

  void label_pictures() {
    for (std::size_t i = 0; i < labels_.size(); ++i) {
      const auto id = by_folder_.find(labels_[i]);
      if (id == by_folder_.end()) {
        throw DataError(cat(set_.images[i].string(), ": label \"", labels_[i], "\" is no class of ",
                            class_source()));
      }
      set_.labels.push_back(id->second);
    }
  }

  void check() {
    const auto count = static_cast<std::int64_t>(set_.classes.size());
    if (o_.class_count > 0 && count != o_.class_count) {
      throw DataError(cat("zero-shot set ", o_.name, ": ", class_source(), " gives ", count,
                          " classes, expected ", o_.class_count));
    }
    std::map<std::string, int> times;
    for (const std::string& name : set_.classes) ++times[name];
    std::vector<std::string> twice;
    for (const auto& [name, n] : times) {
      if (n > 1) twice.push_back(name);
    }
    if (!twice.empty()) {
      set_.notes.push_back(cat("zero-shot set ", o_.name, ": ", twice.size(),
                               " names belong to several classes (", join(twice, ", "),
                               "); their scores are equal, the first class is taken"));
    }
  }

  void make_prompts() {
    set_.templates = o_.templates;
    const bool is_file =
        set_.templates.size() == 1 && set_.templates[0].find("{}") == std::string::npos;
    if (is_file) set_.templates = read_lines(set_.templates[0]);
    for (const std::string& text : set_.templates) {
      if (text.find("{}") == std::string::npos) {
        throw DataError(cat("zero-shot set ", o_.name, ": template \"", text,
                            "\" has no {} for the class name"));
      }
    }
    for (std::string name : set_.classes) {
      std::replace(name.begin(), name.end(), '_', ' ');
      for (std::string prompt : set_.templates)
        set_.prompts.push_back(prompt.replace(prompt.find("{}"), 2, name));
    }
  }

  const ZeroShotOptions& o_;
  fs::path root_;
  ZeroShotSet set_;
  std::map<std::string, std::int64_t> by_folder_;
  std::vector<std::string> labels_;  // of each picture: a folder of by_folder_
};

}  // namespace

ZeroShotSet read_zero_shot_set(const ZeroShotOptions& options) { return Reader(options).read(); }

std::vector<std::string> anchored_classes(const fs::path& prompts,
                                          const std::vector<ZeroShotOptions>& sets) {
  std::vector<std::string> lines;
  if (prompts.empty()) return lines;
  const std::string text = " " + join(read_lines(prompts), " ") + " ";
  for (const ZeroShotOptions& options : sets) {
    const ZeroShotSet set = read_zero_shot_set(options);
    std::vector<std::string> found;
    for (std::string name : set.classes) {
      std::replace(name.begin(), name.end(), '_', ' ');
      if (text.find(cat(" ", name, " ")) != std::string::npos) found.push_back(name);
    }
    if (found.empty()) continue;
    const std::size_t count = found.size();
    found.resize(std::min<std::size_t>(found.size(), 3));
    lines.push_back(cat("zero-shot set ", options.name, ": ", count, " of ", set.classes.size(),
                        " class names stand in the anchor prompts (", join(found, ", "),
                        count > found.size() ? ", …" : "", ")"));
  }
  return lines;
}

}  // namespace saferclip
