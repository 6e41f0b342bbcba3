// Where commands write: links are followed, what is no file stays what it is.
#include "saferclip/core/output.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <functional>

#include "saferclip/core/atomic_files.h"
#include "saferclip/core/error.h"
#include "saferclip/core/files.h"
#include "saferclip/core/home.h"
#include "support/temporary_folder.h"

namespace saferclip {
namespace {

namespace fs = std::filesystem;

std::string refusal(const std::function<void()>& work) {
  try {
    work();
  } catch (const ConfigError& problem) {
    return problem.what();
  }
  return "";
}

std::string refusal_of_file(const fs::path& path) {
  return refusal([&] { output_file("--out", path); });
}

std::string refusal_of_folder(const fs::path& path) {
  return refusal([&] { output_folder("--out", path); });
}

TEST(Output, AWriteGoesThroughALink) {
  const TemporaryFolder folder;
  fs::create_directories(folder / "disk");
  write_file_atomically(folder / "disk/rows", "old");
  fs::create_symlink("disk/rows", folder / "latest");
  fs::create_symlink("latest", folder / "newest");
  fs::create_symlink(folder / "disk/not yet", folder / "dangling");
  EXPECT_EQ(output_file("--out", folder / "newest"), folder / "disk/rows");
  write_file_atomically(folder / "newest", "new");
  write_file_atomically(folder / "dangling", "made");
  for (const char* link : {"latest", "newest", "dangling"}) {
    EXPECT_TRUE(fs::is_symlink(folder / link)) << link;
  }
  EXPECT_EQ(read_file(folder / "disk/rows"), "new");
  EXPECT_EQ(read_file(folder / "disk/not yet"), "made");
}

TEST(Output, KeepsThePermissionsOfWhatItReplaces) {
  const TemporaryFolder folder;
  write_file_atomically(folder / "private", "old");
  ASSERT_EQ(::chmod((folder / "private").c_str(), 0600), 0);
  write_file_atomically(folder / "private", "new");
  EXPECT_EQ(fs::status(folder / "private").permissions(), static_cast<fs::perms>(0600));
}

TEST(Output, PipesSocketsAndDevicesStayWhatTheyAre) {
  const TemporaryFolder folder;
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string name = folder / "socket";
  name.copy(address.sun_path, sizeof(address.sun_path) - 1);
  const int socket = ::socket(AF_UNIX, SOCK_STREAM, 0);
  ASSERT_EQ(::bind(socket, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  fs::create_symlink(folder / "pipe", folder / "link");
  for (const auto& [path, kind] :
       {std::pair(folder / "pipe", "a pipe"), std::pair(folder / "link", "a pipe"),
        std::pair(folder / "socket", "a socket"),
        std::pair(fs::path("/dev/null"), "a character device"),
        std::pair(fs::path("/dev/full"), "a character device")}) {
    const fs::file_type before = fs::symlink_status(path).type();
    EXPECT_NE(refusal_of_file(path).find(kind), std::string::npos) << path;
    EXPECT_NE(refusal_of_folder(path).find(kind), std::string::npos) << path;
    EXPECT_THROW(write_file_atomically(path, "x"), Error) << path;
    EXPECT_EQ(fs::symlink_status(path).type(), before) << path;
  }
  ::close(socket);
}

TEST(Output, StreamsOfTheProcessAreNoFilesEvenWhenTheyLeadToOne) {
  const TemporaryFolder folder;
  write_file_atomically(folder / "log", "");
  const int file = ::open((folder / "log").c_str(), O_WRONLY);
  fs::create_symlink("/dev/stdout", folder / "link");
  for (const fs::path& path : {fs::path("/dev/stdout"), fs::path("/proc/self/fd/1"),
                               fs::path("/dev/fd/" + std::to_string(file)), folder / "link"}) {
    EXPECT_NE(refusal_of_file(path).find("expected a regular file"), std::string::npos) << path;
  }
  ::close(file);
}

TEST(Output, FilesAndFoldersAreNotTakenForEachOther) {
  const TemporaryFolder folder;
  write_file_atomically(folder / "file", "x");
  fs::create_directories(folder / "full");
  write_file_atomically(folder / "full/x", "x");
  fs::create_directories(folder / "empty");
  fs::create_directory_symlink("empty", folder / "to empty");
  EXPECT_NE(refusal_of_file(folder / "empty").find("names a folder"), std::string::npos);
  EXPECT_NE(refusal_of_file(folder / "new/").find("names a folder"), std::string::npos);
  EXPECT_NE(refusal_of_file(folder / "no/rows").find("there is no folder"), std::string::npos);
  EXPECT_NE(refusal_of_file(folder / "file/rows").find("there is no folder"), std::string::npos);
  EXPECT_NE(refusal_of_folder(folder / "file").find("is a file"), std::string::npos);
  EXPECT_NE(refusal_of_folder(folder / "file/x").find("is not a folder"), std::string::npos);
  EXPECT_NE(refusal_of_folder(folder / "full").find("not an empty folder"), std::string::npos);
  EXPECT_EQ(output_folder("--out", folder / "empty"), folder / "empty");
  EXPECT_EQ(output_folder("--out", folder / "to empty"), folder / "empty");
  EXPECT_EQ(output_folder("--out", folder / "new/deep/"), folder / "new/deep");
  EXPECT_FALSE(fs::exists(folder / "new"));
  EXPECT_NE(refusal_of_file("").find("expected a path"), std::string::npos);
}

TEST(Output, WhatCannotBeWrittenIsSaidBefore) {
  const TemporaryFolder folder;
  write_file_atomically(folder / "published", "x");
  ASSERT_EQ(::chmod((folder / "published").c_str(), 0444), 0);
  EXPECT_NE(refusal_of_file(folder / "published").find("read-only"), std::string::npos);
  EXPECT_NE(refusal_of_file(folder / std::string(250, 'n')).find("too long"), std::string::npos);
  EXPECT_NE(refusal_of_file("/proc/rows").find("cannot be written"), std::string::npos);
  EXPECT_NE(refusal_of_folder("/proc/rows").find("cannot be written"), std::string::npos);
  fs::create_symlink("a", folder / "b");
  fs::create_symlink("b", folder / "a");
  EXPECT_NE(refusal_of_file(folder / "a").find("circular link"), std::string::npos);
  if (::geteuid() != 0) {
    fs::create_directories(folder / "locked");
    ASSERT_EQ(::chmod((folder / "locked").c_str(), 0555), 0);
    EXPECT_NE(refusal_of_file(folder / "locked/rows").find("cannot be written"), std::string::npos);
  }
  // Looking leaves nothing behind.
  output_file("--out", folder / "fine");
  EXPECT_FALSE(fs::exists(folder / "fine"));
  for (const auto& entry : fs::directory_iterator(folder.path())) {
    EXPECT_EQ(entry.path().filename().string().find(".tmp-"), std::string::npos) << entry.path();
  }
}

TEST(Output, TheWorkingDirectoryIsNotReplaced) {
  const TemporaryFolder folder;
  const fs::path before = fs::current_path();
  fs::current_path(folder.path());
  EXPECT_NE(refusal_of_folder(".").find("working directory"), std::string::npos);
  fs::current_path(before);
}

TEST(Home, IsExpandedAtTheHeadOfAPathOnly) {
  const char* home = std::getenv("HOME");
  ASSERT_NE(home, nullptr);
  const std::string here = home;
  EXPECT_EQ(expand_home("~"), here);
  EXPECT_EQ(expand_home("~/x/~y"), here + "/x/~y");
  EXPECT_EQ(expand_home("$HOME/x"), here + "/x");
  EXPECT_EQ(expand_home("${HOME}/x"), here + "/x");
  EXPECT_EQ(expand_home("~root/x"), "/root/x");
  for (const char* path : {"", "x/~", "$HOMER/x", "~no such user/x", "/~/x", "x$HOME"}) {
    EXPECT_EQ(expand_home(path), path);
  }
}

}  // namespace
}  // namespace saferclip
