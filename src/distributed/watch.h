// Tells a process that is lost from one that is slow. Each process holds a silent TCP connection to
// each other one and a thread that waits for something to happen on them:
// - a process that dies in whatever way has its connections closed by its system: noticed at once;
// - a machine that is off or cut off no longer acknowledges TCP's own probes: noticed within a
//   minute (kSilence);
// - a process that is only stopped or busy is waited for: its system acknowledges for it.
// A process that leaves in an orderly way says so before.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "distributed/socket.h"
#include "saferclip/distributed/loss.h"

namespace saferclip {

// A machine that answers again within half a minute is not lost, and one that does not is reported
// within a minute: probes every kProbe, and the connection ends when nothing was acknowledged for
// kSilence.
inline constexpr std::chrono::seconds kProbe{5};
inline constexpr std::chrono::seconds kSilence{45};

struct Peer {
  int rank = 0;
  std::string host;
  std::string address;
  Socket connection;
  bool left = false;     // said goodbye
  std::string received;  // bytes of a message not yet complete
};

class Watch {
 public:
  // Starts to watch. `peers`: every other process of the run.
  Watch(std::vector<Peer> peers, OnLoss on_loss);
  ~Watch();
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

  // Says goodbye and waits until all others have. About once a second calls `waiting` with the
  // ranks that have not. Throws ProcessLost.
  void leave(const std::function<void(const std::vector<int>&)>& waiting);

  // Tells the others that this process ends with `exit_code`, and why.
  void announce_end(const std::string& why, int exit_code);

  std::optional<Loss> loss() const;
  // The same, after waiting for it for at most `time`.
  std::optional<Loss> wait_for_loss(std::chrono::milliseconds time) const;

  // How long this process has waited for messages of the others, as told here.
  void add_waiting(std::chrono::nanoseconds time) const { waited_ += time.count(); }
  double waited_seconds() const { return 1e-9 * static_cast<double>(waited_); }

 private:
  void run();
  // Reads what is there. Returns false when nothing more can come.
  bool read(Peer& peer);
  void take(Peer& peer, const std::string& message);
  void report(const Loss& loss);
  // `message` to all that are still connected.
  void send_all(const std::string& message);
  std::vector<int> staying() const;

  mutable std::mutex mutex_;  // guards all below but the connections' descriptors
  mutable std::condition_variable changed_;
  std::vector<Peer> peers_;
  std::optional<Loss> loss_;
  bool announced_ = false;
  bool stopped_ = false;

  mutable std::atomic<std::int64_t> waited_{0};  // nanoseconds
  const OnLoss on_loss_;
  Socket wake_;  // an event that ends the thread's sleep
  std::thread thread_;
};

// Sets the probes and time limits described above.
void set_probes(const Socket& connection);

}  // namespace saferclip
