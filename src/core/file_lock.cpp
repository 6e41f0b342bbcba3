// flock rather than a file that exists: the kernel releases it even after kill -9. acquire() polls,
// because a blocking flock would not notice the stop flag. The file is never deleted: a process
// waiting on the deleted file and one on its successor would both hold "the" lock.
#include "saferclip/core/file_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <thread>

#include "saferclip/core/files.h"
#include "saferclip/core/text_format.h"

namespace saferclip {
namespace fs = std::filesystem;

std::unique_ptr<FileLock> FileLock::try_acquire(const fs::path& path) {
  make_folders(path.parent_path());
  const int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (descriptor < 0) throw_storage_error("create", path, errno);
  if (::flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
    const int reason = errno;
    ::close(descriptor);
    if (reason == EWOULDBLOCK) return nullptr;
    errno = reason;
    throw_storage_error("lock", path, errno);
  }
  return std::unique_ptr<FileLock>(new FileLock(descriptor));
}

std::unique_ptr<FileLock> FileLock::acquire(const fs::path& path, const StopFlag* stop) {
  constexpr std::chrono::milliseconds kPause{50};
  for (;;) {
    if (auto lock = try_acquire(path)) return lock;
    throw_if_stopped(stop, cat(path.string(), ": interrupted while another process held it"));
    std::this_thread::sleep_for(kPause);
  }
}

FileLock::~FileLock() { ::close(descriptor_); }

}  // namespace saferclip
