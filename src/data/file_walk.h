// The files below a folder, and what the names of folders say.
#pragma once

#include <filesystem>
#include <functional>
#include <set>
#include <string>

namespace saferclip {

// ASCII letters in lower case, all else as it is.
std::string lower_ascii(std::string text);
// Hidden files and folders, and those that macOS packs beside them.
bool is_hidden(const std::string& name);
// Whether a folder's name is that of a split: train, val, test and the like in any case, also with
// digits and separators around it (train2017).
bool is_split_name(const std::string& name);

// All files below a folder, those of a folder before those of its folders, folders by name;
// follows links to folders, and leaves out what is hidden.
class FileWalk {
 public:
  // `visit` returns false to stop.
  explicit FileWalk(std::function<bool(const std::filesystem::path&)> visit);

  // False if it was stopped. Throws DataError if a folder cannot be listed.
  bool below(const std::filesystem::path& folder);

 private:
  std::function<bool(const std::filesystem::path&)> visit_;
  std::set<std::filesystem::path> visited_;
};

}  // namespace saferclip
