// A failing disk, preloaded into a program: counts the calls that touch files below FAULT_FOLDER
// and makes the FAULT_AT-th of them fail.
//   FAULT_FOLDER  absolute path without links
//   FAULT_KIND    write (default): what changes a disk; read: what looks at it
//   FAULT_AT      number of the call, from 1; 0: none
//   FAULT_MODE    once; on (it and all that follow); short (half of it is written, no failure);
//                 kill (SIGKILL in its place)
//   FAULT_ERRNO   number of the errno
//   FAULT_LOG     file that gets "<number> <call> <path>" for each call that was touched, or, with
//                 FAULT_AT 0, for each call that could be
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

namespace {

std::string setting(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

struct Plan {
  std::string folder = setting("FAULT_FOLDER");
  bool reads = setting("FAULT_KIND") == "read";
  long at = std::atol(setting("FAULT_AT").c_str());
  std::string mode = setting("FAULT_MODE");
  int reason = std::atoi(setting("FAULT_ERRNO").c_str());
  std::string log = setting("FAULT_LOG");
  std::atomic<long> calls{0};
};

Plan& plan() {
  static Plan* const the = new Plan;  // outlives every destructor that still writes
  return *the;
}

template <class Function>
Function next(const char* name) {
  return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}
#define NEXT(name) static const auto real = next<decltype(&name)>(#name)

std::string link_of(int descriptor) {
  char target[PATH_MAX];
  const std::string link = "/proc/self/fd/" + std::to_string(descriptor);
  const auto size = ::readlink(link.c_str(), target, sizeof target);
  return size < 0 ? "" : std::string(target, static_cast<std::size_t>(size));
}

std::string absolute(int folder, const char* path) {
  if (path == nullptr) return "";
  if (path[0] == '/') return path;
  char cwd[PATH_MAX];
  const std::string start = folder != AT_FDCWD                     ? link_of(folder)
                            : ::getcwd(cwd, sizeof cwd) == nullptr ? ""
                                                                   : cwd;
  return start + "/" + path;
}

void note(long number, const char* call, const std::string& path) {
  if (plan().log.empty()) return;
  const std::string line = std::to_string(number) + " " + call + " " + path + "\n";
  const long file =
      ::syscall(SYS_openat, AT_FDCWD, plan().log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0666);
  ::syscall(SYS_write, file, line.data(), line.size());
  ::syscall(SYS_close, file);
}

enum class Fault { kNone, kError, kShort };

Fault fault_of(const char* call, const std::string& path, bool is_read = false) {
  Plan& p = plan();
  if (p.folder.empty() || is_read != p.reads || path.compare(0, p.folder.size(), p.folder) != 0) {
    return Fault::kNone;
  }
  const long number = ++p.calls;
  const bool is_hit = p.mode == "on" ? p.at > 0 && number >= p.at : number == p.at;
  if (is_hit || p.at == 0) note(number, call, path);
  if (!is_hit) return Fault::kNone;
  if (p.mode == "kill") ::raise(SIGKILL);
  if (p.mode == "short") return Fault::kShort;
  errno = p.reason;
  return Fault::kError;
}

bool fails(const char* call, const std::string& path, bool is_read = false) {
  return fault_of(call, path, is_read) == Fault::kError;
}

bool changes(int flags) { return (flags & (O_WRONLY | O_RDWR | O_CREAT)) != 0; }

mode_t mode_of(int flags, va_list list) {
  return (flags & O_CREAT) != 0 ? va_arg(list, mode_t) : 0;
}

// Half of a write when it is to be short; the whole otherwise.
std::size_t part_of(Fault fault, std::size_t size) {
  return fault == Fault::kShort && size > 1 ? size / 2 : size;
}

}  // namespace

extern "C" {

#define OPEN(name)                                                           \
  int name(const char* path, int flags, ...) {                               \
    NEXT(name);                                                              \
    va_list list;                                                            \
    va_start(list, flags);                                                   \
    const mode_t mode = mode_of(flags, list);                                \
    va_end(list);                                                            \
    if (fails("open", absolute(AT_FDCWD, path), !changes(flags))) return -1; \
    return real(path, flags, mode);                                          \
  }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                                       \
  int name(int folder, const char* path, int flags, ...) {                 \
    NEXT(name);                                                            \
    va_list list;                                                          \
    va_start(list, flags);                                                 \
    const mode_t mode = mode_of(flags, list);                              \
    va_end(list);                                                          \
    if (fails("open", absolute(folder, path), !changes(flags))) return -1; \
    return real(folder, path, flags, mode);                                \
  }
OPENAT(openat)
OPENAT(openat64)

#define FOPEN(name)                                                        \
  FILE* name(const char* path, const char* mode) {                         \
    NEXT(name);                                                            \
    const bool is_read = std::strpbrk(mode, "wa+") == nullptr;             \
    if (fails("fopen", absolute(AT_FDCWD, path), is_read)) return nullptr; \
    return real(path, mode);                                               \
  }
FOPEN(fopen)
FOPEN(fopen64)

ssize_t write(int file, const void* data, size_t size) {
  NEXT(write);
  const Fault fault = fault_of("write", link_of(file));
  return fault == Fault::kError ? -1 : real(file, data, part_of(fault, size));
}

ssize_t pwrite(int file, const void* data, size_t size, off_t offset) {
  NEXT(pwrite);
  const Fault fault = fault_of("pwrite", link_of(file));
  return fault == Fault::kError ? -1 : real(file, data, part_of(fault, size), offset);
}

ssize_t pwrite64(int file, const void* data, size_t size, off64_t offset) {
  NEXT(pwrite64);
  const Fault fault = fault_of("pwrite", link_of(file));
  return fault == Fault::kError ? -1 : real(file, data, part_of(fault, size), offset);
}

ssize_t writev(int file, const iovec* parts, int count) {
  NEXT(writev);
  return fails("writev", link_of(file)) ? -1 : real(file, parts, count);
}

size_t fwrite(const void* data, size_t size, size_t count, FILE* file) {
  NEXT(fwrite);
  return fails("fwrite", link_of(fileno(file))) ? 0 : real(data, size, count, file);
}

int fflush(FILE* file) {
  NEXT(fflush);
  return file != nullptr && fails("fflush", link_of(fileno(file))) ? EOF : real(file);
}

int ftruncate(int file, off_t size) noexcept {
  NEXT(ftruncate);
  return fails("ftruncate", link_of(file)) ? -1 : real(file, size);
}

int ftruncate64(int file, off64_t size) noexcept {
  NEXT(ftruncate64);
  return fails("ftruncate", link_of(file)) ? -1 : real(file, size);
}

int fsync(int file) {
  NEXT(fsync);
  return fails("fsync", link_of(file)) ? -1 : real(file);
}

int fdatasync(int file) {
  NEXT(fdatasync);
  return fails("fdatasync", link_of(file)) ? -1 : real(file);
}

// Some network file systems tell only here that a write was lost.
int close(int file) {
  NEXT(close);
  const int flags = ::fcntl(file, F_GETFL);
  const bool is_written = flags >= 0 && (flags & O_ACCMODE) != O_RDONLY;
  const bool has_failed = is_written && fails("close", link_of(file));
  const int reason = errno;
  const int result = real(file);
  if (has_failed) errno = reason;
  return has_failed ? -1 : result;
}

int mkdir(const char* path, mode_t mode) noexcept {
  NEXT(mkdir);
  return fails("mkdir", absolute(AT_FDCWD, path)) ? -1 : real(path, mode);
}

int rename(const char* from, const char* to) noexcept {
  NEXT(rename);
  return fails("rename", absolute(AT_FDCWD, to)) ? -1 : real(from, to);
}

int unlink(const char* path) noexcept {
  NEXT(unlink);
  return fails("unlink", absolute(AT_FDCWD, path)) ? -1 : real(path);
}

int unlinkat(int folder, const char* path, int flags) noexcept {
  NEXT(unlinkat);
  return fails("unlink", absolute(folder, path)) ? -1 : real(folder, path, flags);
}

int rmdir(const char* path) noexcept {
  NEXT(rmdir);
  return fails("rmdir", absolute(AT_FDCWD, path)) ? -1 : real(path);
}

int remove(const char* path) noexcept {
  NEXT(remove);
  return fails("remove", absolute(AT_FDCWD, path)) ? -1 : real(path);
}

ssize_t read(int file, void* data, size_t size) {
  NEXT(read);
  const Fault fault = fault_of("read", link_of(file), true);
  return fault == Fault::kError ? -1 : real(file, data, part_of(fault, size));
}

void* mmap(void* address, size_t size, int protection, int flags, int file, off_t offset) noexcept {
  NEXT(mmap);
  return file >= 0 && fails("mmap", link_of(file), true)
             ? MAP_FAILED
             : real(address, size, protection, flags, file, offset);
}

void* mmap64(void* address, size_t size, int protection, int flags, int file,
             off64_t offset) noexcept {
  NEXT(mmap64);
  return file >= 0 && fails("mmap", link_of(file), true)
             ? MAP_FAILED
             : real(address, size, protection, flags, file, offset);
}

}  // extern "C"
