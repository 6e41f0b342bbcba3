// Whether files are inside a folder after following links.
#pragma once

#include <filesystem>
#include <string>
#include <unordered_map>

namespace saferclip {

class PathContainment {
 public:
  explicit PathContainment(const std::filesystem::path& folder);

  // `file` must exist. Each parent folder is resolved once: many rows share few folders.
  bool holds(const std::filesystem::path& file);
  const std::filesystem::path& folder() const { return folder_; }

 private:
  bool is_inside(const std::filesystem::path& canonical) const;

  std::filesystem::path folder_;
  std::unordered_map<std::string, bool> parents_;
};

}  // namespace saferclip
