// Reads the pictures, labels and prompts of a zero-shot set from class folders, a table or list
// files. Labels stay text until the classes are known, because with `class_form: lists` the labels
// are the classes. All bad rows of a table are reported at once. Prompts are ordered class by
// class, so the evaluator can view them as [classes, templates].
#include "saferclip/evaluate/zero_shot_set.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "evaluate/zero_shot_classes.h"
#include "saferclip/core/error.h"
#include "saferclip/core/text_file.h"
#include "saferclip/core/text_format.h"
#include "saferclip/image/picture_files.h"
#include "saferclip/io/text_rows.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

using Json = nlohmann::json;

// Common column names of picture lists; the first one present in a record counts.
const std::vector<std::string>& file_columns() {
  static const std::vector<std::string> kNames{"file", "filepath", "file_name",  "filename",
                                               "path", "image",    "image_path", "img"};
  return kNames;
}
const std::vector<std::string>& label_columns() {
  static const std::vector<std::string> kNames{"label",    "class",    "class_name", "category",
                                               "label_id", "class_id", "target"};
  return kNames;
}

const Json* find_column(const Json& record, const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    const auto found = record.find(name);
    if (found != record.end() && !found->is_null()) return &*found;
  }
  return nullptr;
}

// A label as text; a number is allowed, and 3 and 3.0 both give "3".
std::optional<std::string> label_text(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number_integer()) return value.dump();
  if (!value.is_number_float()) return std::nullopt;
  const auto number = value.get<double>();
  const auto whole = static_cast<std::int64_t>(std::clamp(number, -1e15, 1e15));
  return static_cast<double>(whole) == number ? std::optional(std::to_string(whole)) : std::nullopt;
}

// The text after the first blank of a line.
std::string rest_of(const std::string& line) {
  const std::size_t blank = line.find_first_of(" \t");
  return blank == std::string::npos ? "" : line.substr(line.find_first_not_of(" \t", blank));
}

std::string first_of(const std::string& line) { return line.substr(0, line.find_first_of(" \t")); }

class SetReader {
 public:
  explicit SetReader(const ZeroShotOptions& options) : o_(options), root_(options.images) {}

  ZeroShotSet read() {
    set_.name = o_.name;
    if (!o_.lists.empty()) read_lists();
    classes_ = read_zero_shot_classes(o_, labels_);
    if (o_.lists.empty() && fs::is_directory(root_)) read_folders();
    if (o_.lists.empty() && !fs::is_directory(root_)) read_table();
    if (set_.images.empty()) {
      throw DataError(cat(root_.string(), ": contains no images (zero-shot set ", o_.name, ")"));
    }
    set_.labels =
        classes_of_labels(classes_, labels_, cat("zero-shot set ", o_.name, ", ", root_.string()));
    set_.classes = classes_.names;
    set_.groups = classes_.groups;
    for (const std::string& note : classes_.notes) {
      set_.notes.push_back(cat("zero-shot set ", o_.name, ": ", note));
    }
    check();
    make_prompts();
    return std::move(set_);
  }

 private:
  void add_picture(const fs::path& path, const std::string& label) {
    set_.images.push_back(path);
    labels_.push_back(label);
  }

  void note(const std::string& text) {
    set_.notes.push_back(cat("zero-shot set ", o_.name, ": ", text));
  }

  // The class folder of `folder`, a path relative to the pictures: itself or the nearest parent
  // that is a class, or its topmost part if none is.
  std::string class_folder(const fs::path& folder) const {
    for (fs::path part = folder; !part.empty(); part = part.parent_path()) {
      if (classes_.by_folder.contains(part.string())) return part.string();
    }
    return folder.begin()->string();
  }

  void read_folders() {
    const fs::path pictures = zero_shot_pictures(o_);
    const PictureFiles files = picture_files(pictures);
    if (!files.others.empty()) note(cat(pictures.string(), ": ", files.note()));
    std::map<fs::path, std::string> labels;
    std::int64_t outside = 0;
    for (const fs::path& file : files.pictures) {
      const fs::path folder = file.parent_path().lexically_relative(pictures);
      if (folder == "." || folder.empty()) {
        ++outside;
        continue;
      }
      const auto [label, is_new] = labels.emplace(folder, "");
      if (is_new) label->second = class_folder(folder);
      const bool is_out =
          std::find(o_.leave_out.begin(), o_.leave_out.end(), label->second) != o_.leave_out.end();
      if (!is_out) add_picture(file, label->second);
    }
    if (outside > 0) {
      note(cat(pictures.string(), ": left out ", outside, " images that are in no class folder"));
    }
  }

  void read_table() {
    const std::vector<TextRow> rows = read_text_rows(root_);
    std::vector<std::string> problems;
    std::set<std::string> columns;
    for (const TextRow& row : rows) {
      const std::string problem = read_record(row, columns);
      if (!problem.empty()) problems.push_back(cat(root_.string(), ":", row.line, ": ", problem));
    }
    const auto lacks = [&](const std::vector<std::string>& names) {
      return std::none_of(names.begin(), names.end(),
                          [&](const std::string& name) { return columns.contains(name); });
    };
    if (!columns.empty() && (lacks(file_columns()) || lacks(label_columns()))) {
      throw DataError(cat(root_.string(), ": no row names an image and its label; columns found: ",
                          join(shortened({columns.begin(), columns.end()}, 12), ", "),
                          "; expected: ", join(file_columns(), " | "), " and ",
                          join(label_columns(), " | ")));
    }
    if (!problems.empty()) {
      throw DataError(join_problems(cat("zero-shot set ", o_.name, ": ", problems.size(), " of ",
                                        rows.size(), " rows are bad:"),
                                    shortened(problems, 10)));
    }
  }

  // Adds the row's picture and returns "", or returns what is wrong with the row.
  std::string read_record(const TextRow& row, std::set<std::string>& columns) {
    if (!row.problem.empty()) return row.problem;
    const Json json = Json::parse(row.json);
    if (!json.is_object()) return "is not a JSON object";
    for (const auto& [name, value] : json.items()) columns.insert(name);
    const Json* file = find_column(json, file_columns());
    const Json* label = find_column(json, label_columns());
    if (file == nullptr || !file->is_string()) {
      return file == nullptr ? "names no image" : "its image is not a path";
    }
    if (label == nullptr) return "has no label";
    const std::optional<std::string> text = label_text(*label);
    if (!text) return "its label is neither text nor a whole number";
    const fs::path path(file->get<std::string>());
    add_picture(path.is_absolute() ? path : root_.parent_path() / path, *text);
    return "";
  }

  void read_lists() {
    for (const std::string& list : o_.lists) {
      for (const std::string& line : read_lines(root_ / list)) {
        fs::path path(first_of(line));
        std::string label = path.parent_path().string();
        if (o_.list_label == ListLabel::kColumn) label = rest_of(line);
        if (o_.list_label == ListLabel::kStem) {
          const std::string stem = path.stem().string();
          label = stem.substr(0, stem.rfind('_'));
        }
        if (!o_.extension.empty()) path.replace_extension(o_.extension);
        add_picture(zero_shot_pictures(o_) / path, label);
      }
    }
  }

  void check() {
    const auto count = static_cast<std::int64_t>(set_.classes.size());
    if (o_.class_count > 0 && count != o_.class_count) {
      throw DataError(cat("zero-shot set ", o_.name, ": ", classes_.source, " has ", count,
                          " classes, expected ", o_.class_count));
    }
    std::map<std::string, int> times;
    for (const std::string& name : set_.classes) ++times[name];
    std::vector<std::string> twice;
    for (const auto& [name, n] : times) {
      if (n > 1) twice.push_back(name);
    }
    if (!twice.empty()) {
      note(cat(twice.size(), " names belong to several classes (", join(shortened(twice, 10), ", "),
               "); their scores are equal, so the first class is used"));
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
  ZeroShotClasses classes_;
  std::vector<std::string> labels_;  // per picture, as its folder or list names it
};

}  // namespace

ZeroShotSet read_zero_shot_set(const ZeroShotOptions& options) { return SetReader(options).read(); }

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
                        " class names appear in the anchor prompts (", join(found, ", "),
                        count > found.size() ? ", …" : "", ")"));
  }
  return lines;
}

}  // namespace saferclip
