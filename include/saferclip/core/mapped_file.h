// Files mapped into memory.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>

namespace saferclip {

// A memory map of a whole file, shared by the tensors that view it. The file never changes through
// it.
class MappedFile {
 public:
  // Throws DataError if the file is missing, a folder or unreadable.
  static std::shared_ptr<const MappedFile> open(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  const std::byte* data() const noexcept { return data_; }
  std::size_t size() const noexcept { return size_; }
  const std::filesystem::path& path() const noexcept { return path_; }
  // Frees the memory of the first `size` bytes. Reading them again loads them from the file,
  // without anything that was written to the map.
  void release(std::size_t size) const noexcept;

 private:
  MappedFile() = default;
  std::filesystem::path path_;
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace saferclip
