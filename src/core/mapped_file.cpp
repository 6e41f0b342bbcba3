// The map is private and writable: a tensor that views it may be written to by mistake without
// changing the file or another reader's view. MAP_NORESERVE keeps the kernel from counting such
// writes, which do not happen, against its memory limit.
#include "saferclip/core/mapped_file.h"

#include <sys/mman.h>

#include <algorithm>

#include "core/open_file.h"

namespace saferclip {
namespace fs = std::filesystem;

std::shared_ptr<const MappedFile> MappedFile::open(const fs::path& path) {
  const OpenFile opened(path);
  std::shared_ptr<MappedFile> file(new MappedFile());
  file->path_ = path;
  file->size_ = opened.size();
  if (file->size_ > 0) {
    void* address = ::mmap(nullptr, file->size_, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_NORESERVE, opened.descriptor(), 0);
    if (address == MAP_FAILED) opened.fail_reading("mapped");
    file->data_ = static_cast<const std::byte*>(address);
  }
  return file;
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
}

void MappedFile::release(std::size_t size) const noexcept {
  // Only advice: a kernel that refuses it keeps the pages.
  if (data_ != nullptr)
    ::madvise(const_cast<std::byte*>(data_), std::min(size, size_), MADV_DONTNEED);
}

}  // namespace saferclip
