// Files and folders that are there whole or not at all.
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <string_view>

namespace saferclip {

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

}  // namespace saferclip
