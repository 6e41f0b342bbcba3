// Where a picture's bytes are: a file of its own, or a part of a tar.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace saferclip {

struct StoredPicture {
  StoredPicture() = default;
  // A file of its own.
  StoredPicture(std::filesystem::path loose) : file(std::move(loose)) {}
  StoredPicture(std::filesystem::path tar, std::string name, std::uint64_t at, std::uint64_t length)
      : file(std::move(tar)), member(std::move(name)), offset(at), size(length) {}

  bool empty() const { return file.empty(); }
  // For messages and keys: the file, or the tar's path with the member's name below it, which no
  // file can have.
  std::string name() const { return member.empty() ? file.string() : (file / member).string(); }
  friend bool operator==(const StoredPicture&, const StoredPicture&) = default;

  std::filesystem::path file;
  std::string member;  // its name in the tar `file`; empty: the file itself
  std::uint64_t offset = 0;
  std::uint64_t size = 0;  // of the member
};

// Throws DataError if the file is missing, unreadable, shorter than the member's place, or the
// picture is larger than `max_bytes`.
std::string read_stored(const StoredPicture& picture, std::uint64_t max_bytes);

}  // namespace saferclip
