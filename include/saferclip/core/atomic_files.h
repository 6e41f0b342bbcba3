// Atomic writing: readers see a complete file or folder, old or new, at any moment.
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <string_view>

namespace saferclip {

// Flushes a file or folder to the disk. Throws Error on failure.
void sync_to_disk(const std::filesystem::path& path);

// Sequential writes to a file that is too large for one buffer. Not thread-safe.
class FileWriter {
 public:
  enum class Start { kEmpty, kEnd };
  explicit FileWriter(const std::filesystem::path& path, Start start = Start::kEmpty);
  ~FileWriter();
  FileWriter(const FileWriter&) = delete;
  FileWriter& operator=(const FileWriter&) = delete;
  // Throws Error with the path and the system's reason (disk full, for example).
  void write(const void* data, std::size_t size);
  // fsync; throws as write does.
  void sync();
  // fsync + close; throws as write does.
  void finish();

 private:
  std::filesystem::path path_;
  int descriptor_;
};

// write_file_atomically for a file too large for one buffer: `write` fills a temporary sibling,
// which is then fsynced and renamed over `path`. On an exception the sibling is removed and the old
// file stays.
void replace_file(const std::filesystem::path& path, const std::function<void(FileWriter&)>& write);

// Writes a temporary sibling, fsyncs it and renames it over `path`. Throws Error (exit 1) with the
// system's reason and leaves the old file untouched.
void write_file_atomically(const std::filesystem::path& path, std::string_view bytes);

// A file or folder ".<name>.tmp-<pid>" beside its target. The destructor removes it unless it was
// moved to the target.
class TemporarySibling {
 public:
  // Creates the folder, or makes sure that no file of that name exists. Throws Error with the
  // system's reason.
  enum class Kind { kFile, kFolder };
  TemporarySibling(std::filesystem::path target, Kind kind);
  ~TemporarySibling();
  TemporarySibling(const TemporarySibling&) = delete;
  TemporarySibling& operator=(const TemporarySibling&) = delete;
  const std::filesystem::path& path() const noexcept { return path_; }
  // Renames it over the target and removes what was there, a folder included.
  // Throws Error with the system's reason.
  void move_to_target();

 private:
  std::filesystem::path target_;
  std::filesystem::path path_;
};

// For a process about to end without unwinding: removes all its temporary siblings and blocks every
// thread that tries to create or move one.
void remove_open_temporaries() noexcept;

// Removes the temporary siblings of `path` whose processes on this machine have died.
void remove_dead_temporaries(const std::filesystem::path& path);
// Removes all temporary siblings inside `folder`, which killed processes have left. Call only while
// holding the folder's lock.
void remove_stale_temporaries(const std::filesystem::path& folder);

}  // namespace saferclip
