// Rows are written in place with pwrite, so a crash leaves every flushed row where the finished
// file has it.
#include "prepare/partial_pictures.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "saferclip/core/files.h"
#include "saferclip/core/text_format.h"

namespace saferclip {

PartialPictures::PartialPictures(const PictureJob& job, const std::filesystem::path& path)
    : path_(path) {
  rows_ = static_cast<std::int64_t>(job.columns[0].size());
  side_ = job.preprocessing.image_size;
  std::vector<TensorShape> shapes;
  shapes.reserve(job.names.size() + 1);
  for (const std::string& name : job.names)
    shapes.push_back({name, at::kByte, {rows_, side_, side_, 3}});
  shapes.push_back({"valid", at::kByte, {rows_, static_cast<std::int64_t>(job.names.size())}});
  layout_ = plan_safetensors(shapes, {{"preprocessing", to_string(job.preprocessing)},
                                      {kPictureColumns, join(job.names, ",")}});
  descriptor_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (descriptor_ < 0 || ::ftruncate(descriptor_, static_cast<off_t>(layout_.file_size)) != 0) {
    const int reason = errno;
    if (descriptor_ >= 0) ::close(descriptor_);
    throw_storage_error("create", path, reason);
  }
  write(0, layout_.header.data(), layout_.header.size());
}

PartialPictures::~PartialPictures() { ::close(descriptor_); }

void PartialPictures::write_row(const PicturePosition& at, const std::uint8_t* pixels) {
  write(layout_.offsets[at.column] + at.row * row_bytes(), pixels, row_bytes());
}

void PartialPictures::write_valid(const std::vector<std::uint8_t>& valid) {
  write(layout_.offsets.back(), valid.data(), valid.size());
}

void PartialPictures::flush() {
  if (::fsync(descriptor_) != 0) throw_storage_error("flush", path_, errno);
}

void PartialPictures::write(std::uint64_t offset, const void* data, std::size_t size) {
  const char* next = static_cast<const char*>(data);
  while (size > 0) {
    const ssize_t written = ::pwrite(descriptor_, next, size, static_cast<off_t>(offset));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) throw_storage_error("write", path_, errno);
    next += written;
    offset += static_cast<std::uint64_t>(written);
    size -= static_cast<std::size_t>(written);
  }
}

}  // namespace saferclip
