// A file descriptor for reading, with errors that name file and cause. exists() and is_directory()
// come before open(), because open() accepts a folder and read() then fails with a message that
// does not say so. A read that a signal interrupts is repeated.
#include "core/open_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

void require_readable_file(const fs::path& path) {
  std::error_code ignored;
  if (!fs::exists(path, ignored)) throw DataError(cat(path.string(), ": no such file"));
  if (fs::is_directory(path, ignored)) {
    throw DataError(cat(path.string(), ": is a folder, expected a file"));
  }
}

}  // namespace

OpenFile::OpenFile(fs::path path) : path_(std::move(path)) {
  require_readable_file(path_);
  descriptor_ = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC);
  struct stat status {};
  if (descriptor_ < 0) fail_reading("read");
  if (::fstat(descriptor_, &status) != 0) {
    const int reason = errno;
    ::close(descriptor_);  // no destructor runs after a throwing constructor
    errno = reason;
    fail_reading("read");
  }
  size_ = static_cast<std::uint64_t>(status.st_size);
}

OpenFile::~OpenFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

std::size_t OpenFile::read(char* data, std::size_t size) const {
  while (true) {
    const ssize_t count = ::read(descriptor_, data, size);
    if (count >= 0) return static_cast<std::size_t>(count);
    if (errno != EINTR) fail_reading("read");
  }
}

std::size_t OpenFile::read_at(char* data, std::size_t size, std::uint64_t offset) const {
  while (true) {
    const ssize_t count = ::pread(descriptor_, data, size, static_cast<off_t>(offset));
    if (count >= 0) return static_cast<std::size_t>(count);
    if (errno != EINTR) fail_reading("read");
  }
}

void OpenFile::fail_reading(const char* action) const {
  throw DataError(
      cat(path_.string(), ": cannot be ", action, ": ", std::system_category().message(errno)));
}

}  // namespace saferclip
