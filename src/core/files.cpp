#include "saferclip/core/files.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <mutex>
#include <set>
#include <sstream>
#include <system_error>
#include <thread>

#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

[[noreturn]] void fail(const std::string& action, const fs::path& path) {
  throw_storage_error(action, path, errno);
}

const char* cure_of(int reason) {
  switch (reason) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      return "free some space (or raise the limit) and run the same command again";
    case EROFS:
    case EACCES:
    case EPERM:
      return "make the folder writable, or name another one";
    case EIO:
      return "check the disk or its connection (dmesg), then run the same command again";
    case EMFILE:
    case ENFILE:
      return "allow more open files (ulimit -n) and run the same command again";
    default:
      return "put that right and run the same command again";
  }
}

void require_readable_file(const fs::path& path) {
  std::error_code ignored;
  if (!fs::exists(path, ignored)) throw DataError(cat(path.string(), ": no such file"));
  if (fs::is_directory(path, ignored)) {
    throw DataError(cat(path.string(), ": is a folder, expected a file"));
  }
}

// A file opened for reading, closed at the end of the scope.
class OpenFile {
 public:
  explicit OpenFile(const fs::path& path) : path_(path) {
    require_readable_file(path);
    descriptor_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    struct stat status {};
    if (descriptor_ < 0 || ::fstat(descriptor_, &status) != 0) fail_reading("read");
    size_ = static_cast<std::uint64_t>(status.st_size);
  }
  ~OpenFile() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;

  int descriptor() const { return descriptor_; }
  std::uint64_t size() const { return size_; }
  // 0 at the end.
  std::size_t read(char* data, std::size_t size) const {
    while (true) {
      const ssize_t count = ::read(descriptor_, data, size);
      if (count >= 0) return static_cast<std::size_t>(count);
      if (errno != EINTR) fail_reading("read");
    }
  }
  [[noreturn]] void fail_reading(const char* action) const {
    throw DataError(
        cat(path_.string(), ": cannot be ", action, ": ", std::system_category().message(errno)));
  }

 private:
  const fs::path& path_;
  int descriptor_ = -1;
  std::uint64_t size_ = 0;
};

}  // namespace

std::string read_file(const fs::path& path, std::uint64_t max_bytes) {
  const OpenFile file(path);
  const auto require_small = [&](std::uint64_t size) {
    if (size <= max_bytes) return;
    throw DataError(cat(path.string(), ": is larger than the ", human_bytes(max_bytes),
                        " that are read of such a file"));
  };
  require_small(file.size());
  // The size is a hint: a pipe has none, and a file may grow meanwhile.
  std::string bytes(file.size() + 1, '\0');
  std::size_t used = 0;
  while (const std::size_t count = file.read(bytes.data() + used, bytes.size() - used)) {
    used += count;
    require_small(used);
    if (used == bytes.size()) bytes.resize(2 * used + 4096);
  }
  bytes.resize(used);
  return bytes;
}

void read_in_blocks(const fs::path& path,
                    const std::function<void(const char* data, std::size_t size)>& take) {
  const OpenFile file(path);
  std::vector<char> block(std::size_t{1} << 18U);  // stays in a core's cache
  while (const std::size_t count = file.read(block.data(), block.size())) take(block.data(), count);
}

void throw_storage_error(const std::string& action, const fs::path& path, int reason) {
  const std::string cause = std::system_category().message(reason);
  throw Error(cat("cannot ", action, " ", path.string(), ": ", cause, "; ", cure_of(reason)), 1);
}

void make_folders(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) throw_storage_error("create the folder", folder, error.value());
}

void rename_path(const fs::path& from, const fs::path& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) fail("rename to", to);
}

void remove_tree(const fs::path& path) {
  std::error_code error;
  fs::remove_all(path, error);
  if (error) throw_storage_error("remove", path, error.value());
}

void sync_to_disk(const fs::path& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) fail("open", path);
  const int result = ::fsync(descriptor);
  const int reason = errno;
  ::close(descriptor);
  if (result != 0) throw_storage_error("flush", path, reason);
}

bool is_file(const fs::path& path) noexcept {
  std::error_code error;
  return path.native().find('\0') == std::string::npos && fs::is_regular_file(path, error);
}

FileWriter::FileWriter(const fs::path& path, Start start)
    : path_(path),
      descriptor_(::open(
          path.c_str(),
          O_WRONLY | O_CREAT | O_CLOEXEC | (start == Start::kEmpty ? O_TRUNC : O_APPEND), 0666)) {
  if (descriptor_ < 0) fail("create", path_);
}

FileWriter::~FileWriter() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void FileWriter::write(const void* data, std::size_t size) {
  const char* next = static_cast<const char*>(data);
  while (size > 0) {
    const ssize_t written = ::write(descriptor_, next, size);
    if (written < 0) {
      if (errno == EINTR) continue;
      fail("write", path_);
    }
    next += written;
    size -= static_cast<std::size_t>(written);
  }
}

void FileWriter::sync() {
  if (::fsync(descriptor_) != 0) fail("flush", path_);
}

void FileWriter::finish() {
  sync();
  const int result = ::close(descriptor_);
  descriptor_ = -1;
  if (result != 0) fail("close", path_);
}

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

std::unique_ptr<FileLock> FileLock::try_acquire(const fs::path& path) {
  make_folders(path.parent_path());
  const int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (descriptor < 0) fail("create", path);
  if (::flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
    const int reason = errno;
    ::close(descriptor);
    if (reason == EWOULDBLOCK) return nullptr;
    errno = reason;
    fail("lock", path);
  }
  return std::unique_ptr<FileLock>(new FileLock(descriptor));
}

std::unique_ptr<FileLock> FileLock::acquire(const fs::path& path, const StopFlag* stop) {
  constexpr std::chrono::milliseconds kPause{50};
  for (;;) {
    if (auto lock = try_acquire(path)) return lock;
    throw_if_asked(stop, cat(path.string(), ": interrupted while another process held it"));
    std::this_thread::sleep_for(kPause);
  }
}

FileLock::~FileLock() { ::close(descriptor_); }

}  // namespace saferclip
