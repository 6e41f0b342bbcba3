// Locks between processes.
#pragma once

#include <filesystem>
#include <memory>

#include "saferclip/core/stop.h"

namespace saferclip {

// An advisory lock (flock) on a file, released by the destructor or the end of the process. The
// file itself stays.
class FileLock {
 public:
  // Null if another process holds the lock. Creates the file and its folder. Throws Error with the
  // system's reason.
  static std::unique_ptr<FileLock> try_acquire(const std::filesystem::path& path);
  // Waits until the lock is free; throws Interrupted once `stop` is set.
  static std::unique_ptr<FileLock> acquire(const std::filesystem::path& path, const StopFlag* stop);
  ~FileLock();
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

 private:
  explicit FileLock(int descriptor) : descriptor_(descriptor) {}
  int descriptor_;
};

}  // namespace saferclip
