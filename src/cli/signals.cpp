// One thread waits for all signals with sigwait, so nothing runs in a signal handler and ending the
// process may take locks and remove files. Every other thread inherits the blocked mask. Until a
// command calls ask_before_ending, a signal ends the process; from then on the first one sets the
// stop flag, and a second SIGINT or the end of the grace period ends the process.
#include "cli/signals.h"

#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <ctime>
#include <mutex>
#include <string>
#include <thread>

#include "saferclip/core/atomic_files.h"
#include "saferclip/core/error.h"
#include "saferclip/core/log.h"

namespace saferclip {
namespace {

using Clock = std::chrono::steady_clock;

// SIGUSR1 wakes the watching thread after the rules have changed.
constexpr int kWake = SIGUSR1;

struct Rules {
  bool asks = false;
  std::optional<std::chrono::seconds> grace;
  std::optional<SteadyTime> limit;
};

// Globals, because signals belong to the process and the thread that waits for them outlives every
// scope.
std::mutex g_rules_lock;
Rules g_rules;
StopFlag g_stop;
pthread_t g_watcher;

sigset_t watched_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int number : {SIGINT, SIGTERM, kWake}) sigaddset(&set, number);
  return set;
}

[[noreturn]] void end_at_once(int exit_code) {
  remove_open_temporaries();
  clear_status_line();
  std::_Exit(exit_code);
}

// Waits for the next signal and returns it, or 0 at `until`.
int next_signal(std::optional<SteadyTime> until) {
  const sigset_t set = watched_signals();
  int number = -1;
  if (!until) {
    ::sigwait(&set, &number);
    return number;
  }
  while (number < 0) {
    const auto left = std::max<std::chrono::nanoseconds>(*until - Clock::now(), {});
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(left);
    const timespec wait{static_cast<std::time_t>(seconds.count()),
                        static_cast<long>((left - seconds).count())};
    number = ::sigtimedwait(&set, nullptr, &wait);
    if (number < 0 && errno == EAGAIN) return 0;
  }
  return number;
}

void watch() {
  std::optional<SteadyTime> asked;
  int interrupts = 0;
  for (;;) {
    Rules rules;
    {
      const std::lock_guard lock(g_rules_lock);
      rules = g_rules;
    }
    std::optional<SteadyTime> until = rules.limit;
    if (asked) until = rules.grace ? std::optional(*asked + *rules.grace) : std::nullopt;
    const int number = next_signal(until);
    if (number == kWake) continue;
    interrupts += number == SIGINT ? 1 : 0;
    const int exit_code = number == 0 ? kOutOfTime : 128 + number;
    if (asked && number == 0) end_at_once(g_stop.exit_code());
    if (!rules.asks || interrupts > 1) end_at_once(exit_code);
    g_stop.request(exit_code);
    if (!asked) asked = Clock::now();
  }
}

}  // namespace

void watch_signals() {
  const sigset_t set = watched_signals();
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
  std::thread watcher(watch);
  g_watcher = watcher.native_handle();
  watcher.detach();
}

const StopFlag& ask_before_ending(std::optional<std::chrono::seconds> grace,
                                  std::optional<SteadyTime> limit) {
  {
    const std::lock_guard lock(g_rules_lock);
    g_rules = {true, grace, limit};
  }
  ::pthread_kill(g_watcher, kWake);
  return g_stop;
}

}  // namespace saferclip
