// The files in an uncompressed tar, with the places of their bytes.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>

namespace saferclip {

struct TarMember {
  std::string name;
  std::uint64_t offset = 0;  // of its content in the tar
  std::uint64_t size = 0;
};

// Reads headers only and seeks over what is between them. Understands ustar, GNU's long names and
// large sizes, and pax's path and size. Nothing is unpacked; names are text and are not checked.
class TarReader {
 public:
  // Throws DataError if the file is missing or unreadable.
  explicit TarReader(std::filesystem::path file);

  // The next regular file; false at the end. Throws DataError, with the place, for what is not a
  // tar, is compressed, damaged, or cut short.
  bool next(TarMember& member);
  std::string content(const TarMember& member);
  // Links and special files seen so far, which have no content here.
  std::int64_t skipped() const { return skipped_; }

 private:
  struct Header;
  struct Overrides;

  [[noreturn]] void fail(const std::string& problem) const;
  std::string bytes(std::uint64_t offset, std::uint64_t size);
  Header header();
  void read_extension(const Header& header, Overrides& overrides);

  std::filesystem::path file_;
  std::ifstream in_;
  std::uint64_t file_size_ = 0;
  std::uint64_t at_ = 0;  // of the next header
  std::int64_t skipped_ = 0;
};

}  // namespace saferclip
