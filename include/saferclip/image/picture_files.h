// The pictures of a folder, separated from other files in it: captions and records of a downloader,
// Thumbs.db, .DS_Store, __MACOSX, …
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace saferclip {

struct PictureFiles {
  std::vector<std::filesystem::path> pictures;  // sorted
  std::map<std::string, std::int64_t> others;   // number of other files by kind

  // "left out 120 files that are not pictures (.json 60, .txt 60)"; empty if there are none.
  std::string note() const;
};

// All pictures below a folder, following links to folders and skipping hidden files and folders. A
// picture is recognized by its extension or its first bytes; it need not be decodable. Throws
// DataError if the folder is missing or cannot be listed.
PictureFiles picture_files(const std::filesystem::path& folder);

// picture_files; throws DataError if there are no pictures.
PictureFiles find_images(const std::filesystem::path& folder);

// Whether a name is hidden, or one that systems and archives leave behind.
bool is_system_file(const std::string& name);

}  // namespace saferclip
