// Whether files stand inside a folder, links followed.
#pragma once

#include <filesystem>
#include <string>
#include <unordered_map>

namespace saferclip {

class PathContainment {
 public:
  explicit PathContainment(const std::filesystem::path& folder);

  // `file` exists. Folders are looked up once: many rows name few of them.
  bool holds(const std::filesystem::path& file);
  const std::filesystem::path& folder() const { return folder_; }

 private:
  bool is_inside(const std::filesystem::path& canonical) const;

  std::filesystem::path folder_;
  std::unordered_map<std::string, bool> parents_;
};

}  // namespace saferclip
