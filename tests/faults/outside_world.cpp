// Refuses networks and other programs, and notes in OUTSIDE_LOG who asked; preloaded into a
// program.
#include <fcntl.h>
#include <netdb.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

int refused(const char* call) {
  const char* log = std::getenv("OUTSIDE_LOG");
  if (log != nullptr) {
    const long file = ::syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND, 0666);
    ::syscall(SYS_write, file, call, std::strlen(call));
    ::syscall(SYS_write, file, "\n", 1);
    ::syscall(SYS_close, file);
  }
  errno = EACCES;
  return -1;
}

}  // namespace

extern "C" {

int socket(int, int, int) noexcept { return refused("socket"); }
int connect(int, const sockaddr*, socklen_t) { return refused("connect"); }
int getaddrinfo(const char*, const char*, const addrinfo*, addrinfo**) {
  refused("getaddrinfo");
  return EAI_FAIL;
}
hostent* gethostbyname(const char*) {
  refused("gethostbyname");
  return nullptr;
}
int execve(const char*, char* const*, char* const*) noexcept { return refused("execve"); }
int execv(const char*, char* const*) noexcept { return refused("execv"); }
int execvp(const char*, char* const*) noexcept { return refused("execvp"); }
int posix_spawn(pid_t*, const char*, const posix_spawn_file_actions_t*, const posix_spawnattr_t*,
                char* const*, char* const*) {
  refused("posix_spawn");
  return EACCES;
}
int system(const char*) { return refused("system"); }
FILE* popen(const char*, const char*) {
  refused("popen");
  return nullptr;
}
pid_t fork() noexcept { return refused("fork"); }

}  // extern "C"
