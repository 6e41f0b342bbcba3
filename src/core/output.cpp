// Writing is tested by creating a file, because permissions alone do not tell (quotas, read-only
// and remote file systems, long names). A command replaces its output by rename: that rules out
// streams, mount points and the working directory, and makes a read-only file replaceable, which
// therefore is refused explicitly.
#include "saferclip/core/output.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "saferclip/core/atomic_files.h"
#include "saferclip/core/error.h"
#include "saferclip/core/files.h"
#include "saferclip/core/text_format.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

constexpr int kMostLinks = 40;  // as the kernel

std::string reason_of(int number) { return std::system_category().message(number); }

fs::path folder_of(const fs::path& path) {
  return path.has_parent_path() ? path.parent_path() : fs::path(".");
}

// /proc/<pid>/fd/<n>: an open file of a process, to be written through the stream and not by name.
bool is_stream_name(const fs::path& path) {
  std::error_code error;
  const fs::path folder = fs::canonical(folder_of(path), error);
  return !error && folder.string().starts_with("/proc/") && folder.filename() == "fd";
}

// One step along a chain of links; false at its end.
bool follow(fs::path& path) {
  std::error_code error;
  if (!fs::is_symlink(fs::symlink_status(path, error)) || is_stream_name(path)) return false;
  const fs::path next = fs::read_symlink(path, error);
  if (error) return false;
  path = next.is_absolute() ? next : folder_of(path) / next;
  return true;
}

std::string kind_of(fs::file_type type) {
  switch (type) {
    case fs::file_type::directory:
      return "a folder";
    case fs::file_type::fifo:
      return "a pipe";
    case fs::file_type::socket:
      return "a socket";
    case fs::file_type::character:
      return "a character device";
    case fs::file_type::block:
      return "a block device";
    default:
      return "not a regular file";
  }
}

[[noreturn]] void refuse(const std::string& option, const fs::path& given, const fs::path& target,
                         const std::string& why) {
  throw ConfigError(cat(option, " ", given.string(),
                        target == given ? "" : cat(" (a link to ", target.string(), ")"), ": ",
                        why));
}

fs::path followed(const std::string& option, const fs::path& given) {
  if (given.empty() || given.native().find('\0') != std::string::npos) {
    throw ConfigError(cat(option, " \"", given.string(), "\": expected a path"));
  }
  try {
    return resolve_links(given);
  } catch (const Error& problem) {
    throw ConfigError(cat(option, " ", problem.what()));
  }
}

// Creates and removes a file beside `target`.
void require_writable_folder(const std::string& option, const fs::path& given,
                             const fs::path& target, const fs::path& folder) {
  const TemporarySibling probe(folder / target.filename(), TemporarySibling::Kind::kFile);
  const int descriptor = ::open(probe.path().c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
  if (descriptor < 0) {
    const int number = errno;
    // The disk is at fault, not the option.
    if (number == EIO || number == ENOSPC || number == EDQUOT) {
      throw_storage_error("create", probe.path(), number);
    }
    refuse(option, given, target,
           number == ENAMETOOLONG
               ? std::string("the name is too long for this file system")
               : cat("cannot be written in ", folder.string(), ": ", reason_of(number),
                     "; make the folder writable, or name another one"));
  }
  ::close(descriptor);
}

// Whether nobody may write to it, or this user may not. The first rule protects a read-only file
// from root, who may always write.
bool is_read_only(const fs::path& file) {
  struct stat status {};
  if (::stat(file.c_str(), &status) != 0) return false;
  return (status.st_mode & (S_IWUSR | S_IWGRP | S_IWOTH)) == 0 || ::access(file.c_str(), W_OK) != 0;
}

bool is_mount_point(const fs::path& folder) {
  struct statx status {};
  return ::statx(AT_FDCWD, folder.c_str(), 0, STATX_BASIC_STATS, &status) == 0 &&
         (status.stx_attributes_mask & status.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
}

// An empty folder that a rename can replace. The working directory and a mount point cannot be:
// they would keep referring to the old folder.
void require_free_folder(const std::string& option, const fs::path& given, const fs::path& target) {
  std::error_code error;
  if (!fs::is_directory(target, error)) {
    refuse(option, given, target,
           cat("is ", special_file_kind(target).empty() ? "a file" : special_file_kind(target),
               ", expected an empty or new folder"));
  }
  const bool is_empty = fs::is_empty(target, error);
  if (error) refuse(option, given, target, cat("cannot be read: ", error.message()));
  if (!is_empty) {
    refuse(option, given, target, "exists and is not an empty folder; name another one");
  }
  const bool is_here = fs::equivalent(target, fs::current_path(error), error);
  if (is_here || is_mount_point(target)) {
    refuse(option, given, target,
           cat("is ", is_here ? "the working directory" : "a mount point",
               ", which cannot be replaced; name a new folder inside it"));
  }
}

}  // namespace

fs::path resolve_links(const fs::path& path) {
  fs::path target = path;
  for (int i = 0; follow(target); ++i) {
    if (i == kMostLinks) {
      throw Error(cat(path.string(), ": is a circular link; name another path"), 1);
    }
  }
  return target;
}

std::string special_file_kind(const fs::path& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  const bool is_there = fs::exists(status);
  if (is_there && !fs::is_regular_file(status)) return kind_of(status.type());
  return is_stream_name(resolve_links(path)) ? "a stream of this process" : "";
}

fs::path output_file(const std::string& option, const fs::path& given,
                     const std::string& instead_of_stream) {
  const fs::path target = followed(option, given);
  const std::string kind = special_file_kind(target);
  if (kind == "a folder" || !target.has_filename()) {
    refuse(option, given, target, "names a folder, expected a file");
  }
  if (!kind.empty()) {
    refuse(option, given, target,
           cat("is ", kind, ", expected a regular file; ", instead_of_stream));
  }
  const fs::path folder = folder_of(target);
  std::error_code error;
  if (!fs::is_directory(folder, error)) {
    refuse(option, given, target,
           cat("there is no folder ", fs::absolute(folder).lexically_normal().string()));
  }
  if (is_read_only(target)) {
    refuse(option, given, target,
           "is read-only; make it writable (chmod u+w), or name another file");
  }
  require_writable_folder(option, given, target, folder);
  return target;
}

fs::path output_folder(const std::string& option, const fs::path& given) {
  fs::path target = followed(option, given);
  std::error_code error;
  if (!target.has_filename() || target.filename() == "." || target.filename() == "..") {
    target = fs::weakly_canonical(target, error);
    if (!target.has_filename()) target = target.parent_path();
  }
  if (fs::exists(fs::symlink_status(target, error))) require_free_folder(option, given, target);
  fs::path above = folder_of(target);
  while (!fs::exists(above, error) && above.has_parent_path() && above != above.parent_path()) {
    above = above.parent_path();
  }
  if (!fs::exists(above, error)) above = ".";
  if (!fs::is_directory(above, error)) {
    refuse(option, given, target, cat(above.string(), " is not a folder"));
  }
  require_writable_folder(option, given, target, above);
  return target;
}

}  // namespace saferclip
