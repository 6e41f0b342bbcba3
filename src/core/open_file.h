// A file opened for reading, for the readers of this room.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>

namespace saferclip {

// Throws DataError if the file is missing, a folder or unreadable. The destructor closes it.
class OpenFile {
 public:
  explicit OpenFile(std::filesystem::path path);
  ~OpenFile();
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;

  int descriptor() const { return descriptor_; }
  std::uint64_t size() const { return size_; }
  // The number of bytes read; 0 at the end of the file.
  std::size_t read(char* data, std::size_t size) const;
  // The same from `offset` on.
  std::size_t read_at(char* data, std::size_t size, std::uint64_t offset) const;
  // Throws DataError with the system's reason (errno).
  [[noreturn]] void fail_reading(const char* action) const;

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
  std::uint64_t size_ = 0;
};

}  // namespace saferclip
