// Files that are never left half-written, and locks that two processes respect.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "saferclip/core/stop.h"

namespace saferclip {

// Whether `path` is a regular file (or a link to one). False, never an exception, for a name that
// no file can have: too long, or with a NUL in it.
bool is_file(const std::filesystem::path& path) noexcept;

inline constexpr std::uint64_t kMaxReadBytes = std::uint64_t{4} << 30U;

// Whole file as bytes. Throws DataError: missing, a folder, unreadable, or larger than `max_bytes`,
// which is known before memory is taken.
std::string read_file(const std::filesystem::path& path, std::uint64_t max_bytes = kMaxReadBytes);

// Hands the bytes of a file over in order, block by block. Throws DataError as read_file does.
void read_in_blocks(const std::filesystem::path& path,
                    const std::function<void(const char* data, std::size_t size)>& take);

// What every failure to write is told with: Error (exit 1) "cannot <action> <path>: <the system's
// reason>; <cure>". `reason` is an errno.
[[noreturn]] void throw_storage_error(const std::string& action, const std::filesystem::path& path,
                                      int reason);

// What std::filesystem does, failing as throw_storage_error.
void make_folders(const std::filesystem::path& folder);
void rename_path(const std::filesystem::path& from, const std::filesystem::path& to);
void remove_tree(const std::filesystem::path& path);  // nothing when it is not there

// Writes a temporary sibling, fsyncs it and renames it over `path`; readers see the old bytes or
// the new ones. Throws Error (exit 1) with the system's reason, the old file untouched.
void write_file_atomically(const std::filesystem::path& path, std::string_view bytes);

// A file or folder on its way to its name: ".<name>.tmp-<pid>" beside it. What has not been moved
// to the target is removed by the destructor.
class TemporarySibling {
 public:
  // Makes the folder, or removes a file of that name. Throws Error with the system's reason.
  enum class Kind { kFile, kFolder };
  TemporarySibling(std::filesystem::path target, Kind kind);
  ~TemporarySibling();
  TemporarySibling(const TemporarySibling&) = delete;
  TemporarySibling& operator=(const TemporarySibling&) = delete;
  const std::filesystem::path& path() const noexcept { return path_; }
  // Renames it over the target: an old file, or a folder, is exchanged for the new one and gone.
  // Throws Error with the system's reason.
  void move_to_target();

 private:
  std::filesystem::path target_;
  std::filesystem::path path_;
};

// For a process that is about to end without unwinding: removes what its temporary siblings hold,
// and lets no thread make or move one any more.
void remove_open_temporaries() noexcept;

// Removes the temporary siblings of `path` that processes of this machine left when they died.
void remove_dead_temporaries(const std::filesystem::path& path);
// Removes temporary siblings that a kill has left inside `folder`. Call only while holding the
// folder's lock.
void remove_stale_temporaries(const std::filesystem::path& folder);

// Flushes a file or folder to the disk. Throws Error on failure.
void sync_to_disk(const std::filesystem::path& path);

// A file descriptor that is written to in order; used where a file is too large for one buffer.
class FileWriter {
 public:
  enum class Start { kEmpty, kEnd };
  explicit FileWriter(const std::filesystem::path& path, Start start = Start::kEmpty);
  ~FileWriter();
  FileWriter(const FileWriter&) = delete;
  FileWriter& operator=(const FileWriter&) = delete;
  // Throws Error with the path and the system's reason (disk full among them).
  void write(const void* data, std::size_t size);
  // fsync; throws as write does.
  void sync();
  // fsync + close; throws as write does.
  void finish();

 private:
  std::filesystem::path path_;
  int descriptor_;
};

// What write_file_atomically does, for a file too large for one buffer: lets `write` fill a
// temporary sibling, fsyncs it and renames it over `path`; on an exception the sibling is removed
// and the old file stays.
void replace_file(const std::filesystem::path& path, const std::function<void(FileWriter&)>& write);

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
