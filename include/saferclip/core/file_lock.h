// Locks that two processes respect.
#pragma once

#include <filesystem>
#include <memory>

#include "saferclip/core/stop.h"

namespace saferclip {

// An advisory lock (flock) on a file that stays behind; released by the destructor or by the death
// of the process.
class FileLock {
 public:
  // Null when another process holds the lock. Creates the file (and its folder).
  static std::unique_ptr<FileLock> try_acquire(const std::filesystem::path& path);
  // Waits until the lock is free; throws Interrupted when `stop` asks meanwhile.
  static std::unique_ptr<FileLock> acquire(const std::filesystem::path& path, const StopFlag* stop);
  ~FileLock();
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

 private:
  explicit FileLock(int descriptor) : descriptor_(descriptor) {}
  int descriptor_;
};

}  // namespace saferclip
