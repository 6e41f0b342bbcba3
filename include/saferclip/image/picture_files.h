// The pictures of a folder, told from what lies beside them: captions and records that a downloader
// wrote, Thumbs.db, .DS_Store, __MACOSX, …
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace saferclip {

struct PictureFiles {
  std::vector<std::filesystem::path> pictures;  // sorted
  std::map<std::string, std::int64_t> others;   // how many files of each kind were left out

  // "left out 120 files that are no pictures (.json 60, .txt 60)"; empty when there are none.
  std::string note() const;
};

// All pictures below a folder; links to folders are followed. A picture is what is called so or
// begins like one; whether it can be decoded is not asked. Hidden files and folders are left out.
// Throws DataError: no folder, or one that cannot be listed.
PictureFiles picture_files(const std::filesystem::path& folder);

// picture_files, with DataError when there is no picture in it.
PictureFiles required_picture_files(const std::filesystem::path& folder);

// A name that no user gave: hidden, or what systems and archives leave behind.
bool is_foreign_name(const std::string& name);

}  // namespace saferclip
