// The usual sequence: write a sibling, fsync it, rename it over the target, fsync the folder.
// Sibling names end in the process id, so leftovers of dead processes can be told from the work of
// live ones. Every open sibling is also registered in a global set, because an end without
// unwinding (a second signal) runs no destructors.
#include "saferclip/core/atomic_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <mutex>
#include <set>
#include <system_error>

#include "saferclip/core/error.h"
#include "saferclip/core/files.h"
#include "saferclip/core/output.h"
#include "saferclip/core/text_format.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view kTemporaryMark = ".tmp-";

// What an end without unwinding must remove. Its lock also guards creating and moving siblings.
std::mutex g_temporaries_lock;
std::set<fs::path> g_temporaries;

bool is_temporary_name(const std::string& file_name) {
  return file_name.starts_with(".") && file_name.find(kTemporaryMark) != std::string::npos;
}

// Replacing a file must not make it more public, or more private, than it was.
void keep_permissions(const fs::path& old_file, const fs::path& new_file) {
  struct stat status {};
  if (::stat(old_file.c_str(), &status) == 0) {
    ::chmod(new_file.c_str(), status.st_mode & (S_IRWXU | S_IRWXG | S_IRWXO));
  }
}

}  // namespace

void replace_file(const fs::path& path, const std::function<void(FileWriter&)>& write) {
  const fs::path target = resolve_links(path);
  if (const std::string kind = special_file_kind(target); !kind.empty()) {
    throw Error(cat("cannot write ", path.string(), ": it is ", kind, "; name a regular file"), 1);
  }
  TemporarySibling temporary(target, TemporarySibling::Kind::kFile);
  FileWriter writer(temporary.path());
  keep_permissions(target, temporary.path());
  write(writer);
  writer.finish();
  temporary.move_to_target();
  sync_to_disk(target.has_parent_path() ? target.parent_path() : fs::path("."));
}

void write_file_atomically(const fs::path& path, std::string_view bytes) {
  replace_file(path, [&](FileWriter& writer) { writer.write(bytes.data(), bytes.size()); });
}

TemporarySibling::TemporarySibling(fs::path target, Kind kind)
    : target_(std::move(target)),
      path_(target_.parent_path() /
            cat(".", target_.filename().string(), kTemporaryMark, static_cast<long>(::getpid()))) {
  remove_dead_temporaries(target_);
  const std::lock_guard lock(g_temporaries_lock);
  std::error_code error;
  fs::remove_all(path_, error);
  if (kind == Kind::kFolder && ::mkdir(path_.c_str(), 0777) != 0) {
    throw_storage_error("create", path_, errno);
  }
  g_temporaries.insert(path_);
}

TemporarySibling::~TemporarySibling() {
  const std::lock_guard lock(g_temporaries_lock);
  if (g_temporaries.erase(path_) == 0) return;
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

void TemporarySibling::move_to_target() {
  const std::lock_guard lock(g_temporaries_lock);
  std::error_code ignored;
  if (fs::is_directory(target_, ignored)) {
    // Atomically if the file system can, so that the old or the new folder exists at any moment.
    if (::renameat2(AT_FDCWD, path_.c_str(), AT_FDCWD, target_.c_str(), RENAME_EXCHANGE) == 0) {
      fs::remove_all(path_, ignored);
      g_temporaries.erase(path_);
      return;
    }
    fs::remove_all(target_, ignored);
  }
  rename_path(path_, target_);
  g_temporaries.erase(path_);
}

void remove_open_temporaries() noexcept {
  g_temporaries_lock.lock();  // never unlocked
  std::error_code ignored;
  for (const fs::path& path : g_temporaries) fs::remove_all(path, ignored);
}

void remove_dead_temporaries(const fs::path& path) {
  const std::string prefix = cat(".", path.filename().string(), kTemporaryMark);
  std::error_code error;
  std::vector<fs::path> dead;
  const fs::path folder = path.has_parent_path() ? path.parent_path() : fs::path(".");
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(prefix)) continue;
    const long process = std::strtol(name.c_str() + prefix.size(), nullptr, 10);
    const bool is_dead = process > 0 && ::kill(static_cast<pid_t>(process), 0) != 0;
    if (is_dead && errno == ESRCH) dead.push_back(entry.path());
  }
  for (const fs::path& temporary : dead) fs::remove_all(temporary, error);
}

void remove_stale_temporaries(const fs::path& folder) {
  std::error_code error;
  std::vector<fs::path> stale;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    if (is_temporary_name(entry.path().filename().string())) stale.push_back(entry.path());
  }
  for (const fs::path& path : stale) fs::remove_all(path, error);
}

void sync_to_disk(const fs::path& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) throw_storage_error("open", path, errno);
  const int result = ::fsync(descriptor);
  const int reason = errno;
  ::close(descriptor);
  if (result != 0) throw_storage_error("flush", path, reason);
}

FileWriter::FileWriter(const fs::path& path, Start start)
    : path_(path),
      descriptor_(::open(
          path.c_str(),
          O_WRONLY | O_CREAT | O_CLOEXEC | (start == Start::kEmpty ? O_TRUNC : O_APPEND), 0666)) {
  if (descriptor_ < 0) throw_storage_error("create", path_, errno);
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
      throw_storage_error("write", path_, errno);
    }
    next += written;
    size -= static_cast<std::size_t>(written);
  }
}

void FileWriter::sync() {
  if (::fsync(descriptor_) != 0) throw_storage_error("flush", path_, errno);
}

void FileWriter::finish() {
  sync();
  const int result = ::close(descriptor_);
  descriptor_ = -1;
  if (result != 0) throw_storage_error("close", path_, errno);
}

}  // namespace saferclip
