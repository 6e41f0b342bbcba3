// Files mapped into memory.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>

namespace saferclip {

// A read-only memory map of a whole file, shared by the tensors that look into it.
class MappedFile {
 public:
  // Throws DataError: missing, a folder, unreadable.
  static std::shared_ptr<const MappedFile> open(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  const std::byte* data() const noexcept { return data_; }
  std::size_t size() const noexcept { return size_; }
  const std::filesystem::path& path() const noexcept { return path_; }
  // Gives back the memory of the pages in the first `size` bytes; who reads them again gets them
  // from the file again, without what was written into the map by mistake.
  void release(std::size_t size) const noexcept;

 private:
  MappedFile() = default;
  std::filesystem::path path_;
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace saferclip
