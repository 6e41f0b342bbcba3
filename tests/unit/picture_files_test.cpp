#include "saferclip/image/picture_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "saferclip/core/atomic_files.h"
#include "saferclip/core/error.h"
#include "support/temporary_folder.h"

namespace saferclip {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr const char* kPng = "\x89PNG\r\n\x1A\n rest";

class Pictures : public ::testing::Test {
 protected:
  void put(const std::string& name, const std::string& bytes = kPng) {
    fs::create_directories((root / name).parent_path());
    write_file_atomically(root / name, bytes);
  }
  std::vector<std::string> names(const PictureFiles& files) const {
    std::vector<std::string> found;
    for (const fs::path& file : files.pictures) {
      found.push_back(file.lexically_relative(root).string());
    }
    return found;
  }

  TemporaryFolder folder;
  const fs::path root = folder.path();
};

TEST_F(Pictures, WhatLiesBesideThemIsCountedByKind) {
  for (const char* name : {"b.png", "a.JPG", "deep/er/c.webp", "broken.gif"}) put(name);
  put("no_extension");
  put("wrong.image");
  put("000.txt", "a caption");
  put("001.txt", "BMW in a garden");
  put("000.json", "{}");
  put("LICENSE", "words");
  for (const char* name :
       {".DS_Store", ".cache/x.png", "__MACOSX/._b.png", "Thumbs.db", "deep/desktop.ini"}) {
    put(name);
  }
  const PictureFiles files = picture_files(root);
  EXPECT_THAT(names(files), ElementsAre("a.JPG", "b.png", "broken.gif", "deep/er/c.webp",
                                        "no_extension", "wrong.image"));
  EXPECT_EQ(files.note(),
            "skipped 9 files that are not images (.json 1, .txt 2, Thumbs.db 1, __MACOSX 1, "
            "desktop.ini 1, hidden 2, without extension 1)");
}

TEST_F(Pictures, LinksToFoldersAreFollowedOnce) {
  put("real/a.png");
  fs::create_directory_symlink(root, root / "real" / "back");
  put("elsewhere.txt", "x");
  TemporaryFolder other;
  write_file_atomically(other.path() / "b.png", kPng);
  fs::create_directory_symlink(other.path(), root / "linked");
  EXPECT_THAT(names(picture_files(root)), ElementsAre("linked/b.png", "real/a.png"));
}

TEST_F(Pictures, FoldersWithoutAreRefused) {
  put("note.txt", "nothing");
  EXPECT_TRUE(picture_files(root).pictures.empty());
  try {
    find_images(root);
    FAIL();
  } catch (const DataError& problem) {
    EXPECT_THAT(problem.what(),
                HasSubstr("contains no images; skipped 1 file that is not an image"));
  }
  EXPECT_THROW(picture_files(root / "gone"), DataError);
}

}  // namespace
}  // namespace saferclip
