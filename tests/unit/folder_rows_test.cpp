// Folders as lists of rows: Hugging Face's image folders, and a folder of images per class.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "saferclip/core/atomic_files.h"
#include "saferclip/core/error.h"
#include "saferclip/data/manifest.h"
#include "saferclip/data/manifest_columns.h"
#include "support/temporary_folder.h"

namespace saferclip {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class ImageFolder : public ::testing::Test {
 protected:
  ImageFolder() {
    for (const char* name : {"a.jpg", "b.jpg", "u.jpg"}) write_file_atomically(folder_ / name, "x");
    request_.needs_unsafe = false;
    request_.split = "train";
    request_.file = folder_.path();
  }
  std::string refusal() {
    try {
      read_manifest(request_);
    } catch (const DataError& error) {
      return error.what();
    }
    return "";
  }
  TemporaryFolder folder_;
  ManifestRequest request_;
};

TEST_F(ImageFolder, MetadataListsTheRowsAndTheFolderIsTheRoot) {
  request_.image_root = "elsewhere";
  const std::string lines =
      R"({"file_name": "a.jpg", "text": "a cup", "unsafe_caption": "n", "unsafe_image": "u.jpg"})"
      "\n"
      R"({"file_name": "b.jpg", "caption": "a dog", "text": "ignored"})"
      "\n"
      R"({"file_name": "none.jpg", "text": "a cat"})"
      "\n"
      R"({"text": "a cow"})"
      "\n";
  const std::string table =
      "text,safe_image_file_name,unsafe_image_file_name\na cup,a.jpg,u.jpg\na dog,b.jpg,\n";
  write_file_atomically(folder_ / "metadata.jsonl", lines);
  const Manifest found = read_manifest(request_);
  EXPECT_EQ(found.file, folder_ / "metadata.jsonl");
  ASSERT_EQ(found.rows.size(), 2U);
  EXPECT_EQ(found.rows[0].safe_caption, "a cup");
  EXPECT_EQ(found.rows[0].safe_image, folder_ / "a.jpg");
  EXPECT_EQ(found.rows[0].unsafe_image, folder_ / "u.jpg");
  EXPECT_EQ(found.rows[1].safe_caption, "a dog");
  ASSERT_EQ(found.problems.size(), 2U);
  EXPECT_EQ(found.problems[0].kind, "absent safe image");
  EXPECT_THAT(found.problems[0].message, HasSubstr((folder_ / "none.jpg").string()));
  EXPECT_EQ(found.problems[1].kind, "missing safe_image");
  write_file_atomically(folder_ / "metadata.csv", table);
  EXPECT_THAT(refusal(), HasSubstr("of several kinds"));
  std::filesystem::remove(folder_ / "metadata.jsonl");
  EXPECT_EQ(read_manifest(request_).rows[0].unsafe_image, folder_ / "u.jpg");
  EXPECT_THAT(read_manifest(request_).problems, ::testing::IsEmpty());
  EXPECT_THAT(unread_columns(folder_.path()), ::testing::IsEmpty());
}

TEST_F(ImageFolder, WithoutMetadataSaysWhatWasLookedFor) {
  EXPECT_THAT(refusal(), AllOf(HasSubstr("without metadata.jsonl or metadata.csv"),
                               HasSubstr("saferclip init --data")));
  for (const char* split : {"test", "train"}) {
    std::filesystem::create_directories(folder_ / split);
    write_file_atomically(folder_ / split / "metadata.csv", "file_name,text\n");
  }
  EXPECT_THAT(refusal(), HasSubstr("named as splits: test, train"));
  for (const char* split : {"test", "train"}) std::filesystem::remove_all(folder_ / split);
  write_file_atomically(folder_ / "metadata.csv", "picture,text\na.jpg,a cup\n");
  EXPECT_THAT(refusal(), AllOf(HasSubstr("metadata.csv: no row has safe_image"),
                               HasSubstr("file_name"), HasSubstr("found: picture, text")));
}

class ClassFolders : public ImageFolder {
 protected:
  ClassFolders() { request_.file = folder_ / "pets"; }
  void add(const std::string& name) {
    const std::filesystem::path file = request_.file / name;
    std::filesystem::create_directories(file.parent_path());
    write_file_atomically(file, "x");
  }
};

TEST_F(ClassFolders, NamesGiveCaptionsAndTags) {
  for (const char* name : {"hot_air-Balloon/b.PNG", "hot_air-Balloon/a/1.jpg", "cat/1.webp"})
    add(name);
  request_.image_root = "elsewhere";
  const Manifest found = read_manifest(request_);
  EXPECT_EQ(found.file, request_.file);
  ASSERT_EQ(found.rows.size(), 3U);
  EXPECT_THAT(found.problems, ::testing::IsEmpty());
  EXPECT_THAT(found.notes, ::testing::IsEmpty());
  EXPECT_FALSE(found.has_unsafe);
  EXPECT_EQ(found.rows[0].id, "cat/1.webp");
  EXPECT_EQ(found.rows[0].safe_image, request_.file / "cat/1.webp");
  EXPECT_EQ(found.rows[0].safe_caption, "a photo of a cat");
  EXPECT_EQ(found.rows[0].tag, "cat");
  EXPECT_EQ(found.rows[1].id, "hot_air-Balloon/a/1.jpg");
  EXPECT_EQ(found.rows[2].safe_caption, "a photo of a hot air Balloon");
  EXPECT_EQ(found.rows[2].tag, "hot air balloon");
  EXPECT_TRUE(found.rows[2].unsafe_caption.empty());
  request_.class_caption = "{}: one {}.";
  EXPECT_EQ(read_manifest(request_).rows[0].safe_caption, "cat: one cat.");
  EXPECT_THAT(unread_columns(request_.file), ::testing::IsEmpty());
}

TEST_F(ClassFolders, WhatIsLeftOutIsCounted) {
  for (const char* name :
       {"cat/1.jpg", "cat/1.txt", "cat/2.TXT", "cat/notes", "cat/.hidden.jpg", ".git/1.jpg",
        "__MACOSX/1.jpg", "loose.jpg", "README.md", "dog/1.txt", "cow/x/1.gif", "_-/1.jpg"})
    add(name);
  std::filesystem::create_directory_symlink(request_.file / "cat", request_.file / "cat" / "self");
  std::filesystem::create_directory(folder_ / "other");
  write_file_atomically(folder_ / "other" / "1.jpg", "x");
  std::filesystem::create_directory_symlink(folder_ / "other", request_.file / "outer");
  const Manifest found = read_manifest(request_);
  ASSERT_EQ(found.rows.size(), 1U);
  EXPECT_THAT(found.notes,
              ElementsAre(HasSubstr("class folders have no image: cow, dog"),
                          HasSubstr("left out 1 images in no class folder"),
                          HasSubstr("files that are no images: .gif (1), .md (1), .txt (3), "
                                    "no extension (1)")));
  ASSERT_EQ(found.problems.size(), 2U);
  EXPECT_THAT(found.problems[0].message, HasSubstr("_-/1.jpg: its class has no name"));
  EXPECT_EQ(found.problems[1].kind, "image outside image_root");
}

TEST_F(ClassFolders, WhatIsNoClassIsRefused) {
  std::filesystem::create_directories(request_.file / "cat");
  add("loose.jpg");
  EXPECT_THAT(refusal(), AllOf(HasSubstr("without metadata.jsonl or metadata.csv"),
                               HasSubstr("without folders of images, one per class")));
  add("train/cat/1.jpg");
  add("Val/cat/1.jpg");
  EXPECT_THAT(refusal(), AllOf(HasSubstr("named as splits, not as classes: Val, train"),
                               HasSubstr("pets/Val")));
  request_.file /= "train";
  EXPECT_EQ(read_manifest(request_).rows[0].id, "cat/1.jpg");
  request_.needs_unsafe = true;
  EXPECT_THAT(refusal(), AllOf(HasSubstr("has no unsafe captions"), HasSubstr("clip or siglip")));
  request_.detects_unsafe = true;
  EXPECT_FALSE(read_manifest(request_).has_unsafe);
  add("cat/metadata.csv");
  EXPECT_THAT(refusal(), HasSubstr("cat/metadata.csv:1: is neither"));
  std::filesystem::rename(request_.file / "cat/metadata.csv", request_.file / "1.tar");
  EXPECT_THAT(refusal(), HasSubstr("it has shards"));
}

}  // namespace
}  // namespace saferclip
