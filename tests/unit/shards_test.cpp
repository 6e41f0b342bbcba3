// Patterns of shards, and tars that are cut or changed anywhere. What tarfile writes is read in
// tests/e2e/data_forms.py.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "saferclip/core/atomic_files.h"
#include "saferclip/core/error.h"
#include "saferclip/core/files.h"
#include "saferclip/data/manifest.h"
#include "saferclip/io/shard_paths.h"
#include "support/temporary_folder.h"

namespace saferclip {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class Shards : public ::testing::Test {
 protected:
  std::vector<std::string> names(const std::string& pattern) {
    std::vector<std::string> names;
    for (const fs::path& path : shard_paths(folder_ / pattern))
      names.push_back(path.lexically_relative(folder_.path()).string());
    return names;
  }
  std::string refusal(const std::string& pattern) {
    try {
      shard_paths(folder_ / pattern);
    } catch (const DataError& error) {
      return error.what();
    }
    return "";
  }
  TemporaryFolder folder_;
};

TEST_F(Shards, PatternsNameThemInOrder) {
  for (const char* name : {"08.tar", "09.tar", "10.tar", "a-1.tar", "b-1.tar", ".hidden.tar"})
    write_file_atomically(folder_ / name, "x");
  fs::create_directories(folder_ / "folder.tar");
  EXPECT_THAT(names("{08..10}.tar"), ElementsAre("08.tar", "09.tar", "10.tar"));
  EXPECT_THAT(names("{b,a}-{1..1}.tar"), ElementsAre("b-1.tar", "a-1.tar"));
  EXPECT_THAT(names("*-?.tar"), ElementsAre("a-1.tar", "b-1.tar"));
  EXPECT_THAT(names("{1,0}*.tar"), ElementsAre("10.tar", "08.tar", "09.tar"));
  EXPECT_THAT(names("one.tar"), ElementsAre("one.tar"));
  write_file_atomically(folder_ / "{1..2}.tar", "x");
  EXPECT_THAT(names("{1..2}.tar"), ElementsAre("{1..2}.tar"));
  EXPECT_THAT(refusal("{08..12}.tar"), HasSubstr("(2 of 5 are missing)"));
  for (const char* bad : {"{2..1}.tar", "{1..}.tar", "{}.tar", "{x}.tar", "{1..2.tar",
                          "{0..99999999}.tar", "{0..999}{0..999}{0..999}.tar"}) {
    EXPECT_THAT(refusal(bad), HasSubstr("braces name shards as")) << bad;
  }
}

TEST_F(Shards, AFolderNamesItsPattern) {
  const auto pattern = [&] {
    return std::filesystem::path(pattern_of_shards(folder_.path())).filename().string();
  };
  EXPECT_EQ(pattern(), "");
  write_file_atomically(folder_ / "part-08.tar", "x");
  EXPECT_EQ(pattern(), "part-08.tar");
  for (const char* name : {"part-09.tar", "part-10.tar"})
    write_file_atomically(folder_ / name, "x");
  EXPECT_EQ(pattern(), "part-{08..10}.tar");
  write_file_atomically(folder_ / "part-12.tar", "x");
  EXPECT_EQ(pattern(), "*.tar");
  write_file_atomically(folder_ / "other.tar", "x");
  EXPECT_EQ(pattern(), "*.tar");
}

// Whatever is cut off or changed, the shard is refused or its rows are read: never a crash, never
// a picture from outside of the file. A cut shard is always refused.
TEST_F(Shards, CutAndChangedTars) {
  for (const char* seed : {"plain", "gnu", "pax", "ustar"}) {
    const std::string whole =
        read_file(fs::path(SAFERCLIP_SOURCE) / "tests" / "fuzz" / "seeds" / "tar" / seed);
    ManifestRequest request;
    request.file = folder_ / "x.tar";
    write_file_atomically(request.file, whole);
    const Manifest manifest = read_manifest(request);
    ASSERT_EQ(manifest.rows.size(), 2U) << seed;
    EXPECT_EQ(manifest.rows[0].safe_caption, "a cup");
    EXPECT_EQ(manifest.rows[0].unsafe_caption, "wine");
    EXPECT_EQ(read_stored(manifest.rows[1].safe_image, 2), "yy");
    EXPECT_EQ(read_stored(manifest.rows[1].unsafe_image, 2), "z");
    EXPECT_THROW(read_stored(manifest.rows[1].safe_image, 1), DataError);
    for (std::size_t size = 0; size + 1024 <= whole.size(); size += 448) {
      write_file_atomically(request.file, whole.substr(0, size));
      EXPECT_THROW(read_manifest(request), DataError) << seed << " " << size;
    }
    write_file_atomically(request.file, whole.substr(0, 512));
    EXPECT_THROW(read_stored(manifest.rows[1].safe_image, 2), DataError);  // the place is gone
    for (std::size_t at = 0; at < whole.size(); at += 211) {
      std::string changed = whole;
      changed[at] = static_cast<char>(changed[at] ^ 0x5B);
      write_file_atomically(request.file, changed);
      try {
        for (const ManifestRow& row : read_manifest(request).rows)
          EXPECT_LE(read_stored(row.safe_image, changed.size()).size(), changed.size());
      } catch (const DataError&) {
      }
    }
  }
}

}  // namespace
}  // namespace saferclip
