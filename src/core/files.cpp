// read_file() treats the size as a hint only: a pipe has none, and a file may grow while it is
// read. Failures to write carry a cure by errno, because most of them are for the user to fix (full
// disk, read-only folder).
#include "saferclip/core/files.h"

#include <cerrno>
#include <cstdio>
#include <system_error>
#include <vector>

#include "core/open_file.h"
#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

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
      return "fix this and run the same command again";
  }
}

}  // namespace

std::string read_file(const fs::path& path, std::uint64_t max_bytes) {
  const OpenFile file(path);
  const auto require_small = [&](std::uint64_t size) {
    if (size <= max_bytes) return;
    throw DataError(cat(path.string(), ": is larger than ", human_bytes(max_bytes),
                        ", the limit for this kind of file"));
  };
  require_small(file.size());
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

std::string read_file_part(const fs::path& path, std::uint64_t offset, std::uint64_t size) {
  const OpenFile file(path);
  if (offset > file.size() || size > file.size() - offset) {
    throw DataError(cat(path.string(), ": has ", file.size(), " bytes, but ", size, " from byte ",
                        offset, " on were expected; it changed, or was cut short"));
  }
  std::string bytes(size, '\0');
  std::size_t used = 0;
  while (used < size) {
    const std::size_t count = file.read_at(bytes.data() + used, size - used, offset + used);
    if (count == 0) throw DataError(path.string() + ": was cut short while it was read");
    used += count;
  }
  return bytes;
}

void read_in_blocks(const fs::path& path,
                    const std::function<void(const char* data, std::size_t size)>& take) {
  const OpenFile file(path);
  std::vector<char> block(std::size_t{1} << 18U);  // 256 KiB: fits a core's cache
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
  if (::rename(from.c_str(), to.c_str()) != 0) throw_storage_error("rename to", to, errno);
}

void remove_tree(const fs::path& path) {
  std::error_code error;
  fs::remove_all(path, error);
  if (error) throw_storage_error("remove", path, error.value());
}

bool is_file(const fs::path& path) noexcept {
  std::error_code error;
  return path.native().find('\0') == std::string::npos && fs::is_regular_file(path, error);
}

}  // namespace saferclip
