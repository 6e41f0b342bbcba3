// Splits of images look like classes, and would be trained on as such ("a photo of a train"), so
// folders that are all named as splits are refused.
#include "data/class_rows.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <vector>

#include "data/file_walk.h"
#include "data/split_filter.h"
#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"
#include "saferclip/core/untrusted_text.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

constexpr std::size_t kNamed = 5;

bool has_picture_ending(const std::string& name) {
  const std::size_t dot = name.rfind('.');
  return dot != std::string::npos && is_picture_ending(lower_ascii(name.substr(dot + 1)));
}

std::string words_of(std::string name) {
  std::replace_if(
      name.begin(), name.end(), [](char c) { return c == '_' || c == '-'; }, ' ');
  return trimmed(name);
}

std::string filled(std::string caption, const std::string& words) {
  for (std::size_t at = caption.find("{}"); at != std::string::npos;
       at = caption.find("{}", at + words.size())) {
    caption.replace(at, 2, words);
  }
  return caption;
}

std::vector<fs::path> folders_in(const fs::path& folder) {
  std::vector<fs::path> folders;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    std::error_code unknown;
    if (entry.is_directory(unknown) && !is_hidden(entry.path().filename().string()))
      folders.push_back(entry.path());
  }
  std::sort(folders.begin(), folders.end());
  return folders;
}

class ClassRowsReader {
 public:
  ClassRowsReader(const fs::path& folder, const std::string& caption)
      : folder_(folder), caption_(caption) {}

  ShardRows read() {
    std::vector<std::string> empty;
    std::vector<std::string> classes;
    for (const fs::path& folder : folders_in(folder_)) {
      const std::string name = folder.filename().string();
      (read_class(folder) > 0 ? classes : empty).push_back(name);
    }
    refuse_splits(classes);
    count_top();
    if (!empty.empty()) {
      note(cat(empty.size() == 1 ? "a class folder has" : "class folders have",
               " no image: ", join(shortened(empty, kNamed), ", ")));
    }
    if (outside_ > 0) note(cat("left out ", with_commas(outside_), " images in no class folder"));
    if (!others_.empty()) note("left out files that are no images: " + others_text());
    return std::move(rows_);
  }

 private:
  void note(const std::string& text) { rows_.notes.push_back(text); }

  // The number of images.
  std::size_t read_class(const fs::path& folder) {
    std::vector<fs::path> pictures;
    FileWalk([&](const fs::path& file) {
      if (has_picture_ending(file.filename().string())) {
        pictures.push_back(file);
      } else {
        count_other(file);
      }
      return true;
    }).below(folder);
    std::sort(pictures.begin(), pictures.end());
    const std::string words = words_of(folder.filename().string());
    for (const fs::path& picture : pictures) add(picture, words);
    return pictures.size();
  }

  void add(const fs::path& picture, const std::string& words) {
    const std::string path = picture.lexically_relative(folder_).string();
    TextRow row;
    row.line = row.record = static_cast<int>(rows_.table.rows.size()) + 1;
    if (!is_valid_utf8(path)) {
      row.problem = "the path of an image is not UTF-8; rename it";
    } else if (words.empty()) {
      row.problem = cat(path, ": its class has no name, only _ and -");
    } else {
      row.json = nlohmann::json{{"id", path},
                                {"file_name", path},
                                {"caption", filled(caption_, words)},
                                {"tag", lower_ascii(words)}}
                     .dump();
    }
    rows_.table.rows.push_back(std::move(row));
  }

  void count_other(const fs::path& file) {
    const std::string ending = lower_ascii(file.extension().string());
    ++others_[ending.empty() ? "no extension" : is_valid_utf8(ending) ? ending : "?"];
  }

  void count_top() {
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(folder_, error)) {
      std::error_code unknown;
      const std::string name = entry.path().filename().string();
      if (is_hidden(name) || entry.is_directory(unknown)) continue;
      if (has_picture_ending(name)) {
        ++outside_;
      } else {
        count_other(entry.path());
      }
    }
  }

  void refuse_splits(const std::vector<std::string>& classes) const {
    if (classes.empty() || !std::all_of(classes.begin(), classes.end(), is_split_name)) return;
    throw DataError(cat(folder_.string(), ": its folders of images are named as splits, not as ",
                        "classes: ", join(classes, ", "), "; name the folder of one split, such ",
                        "as ", (folder_ / classes.front()).string()));
  }

  std::string others_text() const {
    std::vector<std::string> parts;
    for (const auto& [ending, count] : others_)
      parts.push_back(cat(ending, " (", with_commas(count), ")"));
    return join(shortened(parts, kNamed), ", ");
  }

  const fs::path& folder_;
  const std::string& caption_;
  ShardRows rows_;
  std::map<std::string, std::int64_t> others_;
  std::int64_t outside_ = 0;
};

}  // namespace

bool has_class_folders(const fs::path& folder) {
  const std::vector<fs::path> folders = folders_in(folder);
  const auto has_picture = [](const fs::path& below) {
    const auto goes_on = [](const fs::path& file) {
      return !has_picture_ending(file.filename().string());
    };
    return !FileWalk(goes_on).below(below);
  };
  return std::any_of(folders.begin(), folders.end(), has_picture);
}

ShardRows read_class_rows(const fs::path& folder, const std::string& caption) {
  return ClassRowsReader(folder, caption).read();
}

}  // namespace saferclip
