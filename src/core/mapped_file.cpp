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
    // Private and writable: a tensor that looks into the map may be written to by mistake without
    // the file, or another reader, ever seeing it.
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
  // Advice: a kernel that refuses it keeps the pages.
  if (data_ != nullptr)
    ::madvise(const_cast<std::byte*>(data_), std::min(size, size_), MADV_DONTNEED);
}

}  // namespace saferclip
