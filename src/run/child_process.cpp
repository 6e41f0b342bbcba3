// The child leads a process group of its own. Otherwise Ctrl-C in a terminal would reach it twice,
// from the terminal and from us, and a second SIGINT ends a training without a checkpoint. Between
// fork and exec only system calls are made, because another thread may hold any lock.
#include "run/child_process.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <thread>

#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"

namespace saferclip {
namespace {

constexpr const char* kProgram = "/proc/self/exe";
constexpr std::chrono::milliseconds kPoll{50};
constexpr int kCannotExecute = 127;

[[noreturn]] void become(char* const* arguments, pid_t parent, ChildOutput output) {
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (::getppid() != parent) ::_exit(kCannotExecute);  // it died before the line above
  if (output == ChildOutput::kNone) {
    const int nowhere = ::open("/dev/null", O_WRONLY);
    if (nowhere >= 0) ::dup2(nowhere, STDOUT_FILENO);
  }
  const bool moves = output == ChildOutput::kToStderr;
  if (moves && ::dup2(STDERR_FILENO, STDOUT_FILENO) < 0) ::_exit(kCannotExecute);
  ::execv(kProgram, arguments);
  ::_exit(kCannotExecute);
}

}  // namespace

int run_this_program(const std::vector<std::string>& words, const StopFlag& stop,
                     ChildOutput output) {
  std::vector<std::string> texts{"saferclip"};
  texts.insert(texts.end(), words.begin(), words.end());
  std::vector<char*> arguments;
  for (std::string& text : texts) arguments.push_back(text.data());
  arguments.push_back(nullptr);
  const pid_t parent = ::getpid();
  const pid_t child = ::fork();
  if (child < 0) {
    throw Error(cat("cannot start another process: ", std::strerror(errno),
                    "; end other programs, or print the commands with --print"),
                1);
  }
  if (child == 0) become(arguments.data(), parent, output);
  bool is_passed_on = false;
  for (;;) {
    int status = 0;
    const pid_t ended = ::waitpid(child, &status, WNOHANG);
    if (ended == child) return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    if (ended < 0 && errno != EINTR) {
      throw Error(cat("cannot wait for process ", child, ": ", std::strerror(errno)), 1);
    }
    if (stop.exit_code() > 128 && !is_passed_on) {
      ::kill(child, stop.exit_code() - 128);
      is_passed_on = true;
    }
    std::this_thread::sleep_for(kPoll);
  }
}

}  // namespace saferclip
