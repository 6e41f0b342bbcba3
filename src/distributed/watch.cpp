// TCP_USER_TIMEOUT limits both unanswered probes of an idle connection and unacknowledged data.
// Nothing but a last word is ever sent, so that the receive buffer of a stopped process never fills
// up: a connection to a full buffer would be ended by the same limit although the other system
// acknowledges.
#include "distributed/watch.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <system_error>

#include "distributed/packed_texts.h"
#include "saferclip/core/text_format.h"

namespace saferclip {
namespace {

constexpr const char* kCure = "; start the run again with --resume auto";

std::string name_of(const Peer& peer) {
  return cat("rank ", peer.rank, " on ", peer.host, " (", peer.address, ")");
}

Loss loss_of(const Peer& peer, int error) {
  std::string what = " was killed or crashed";
  if (error == ETIMEDOUT || error == EHOSTUNREACH || error == ENETUNREACH) {
    what = cat(" has not answered for ", kSilence.count(),
               " s: its machine is down, or the network to it is cut");
  } else if (error != 0 && error != ECONNRESET && error != EPIPE) {
    what = cat(" was lost (", std::generic_category().message(error), ")");
  }
  return {peer.rank, peer.host, name_of(peer) + what + kCure, kProcessLost};
}

// One message: its size in text, a colon, its packed words.
std::string message_of(const std::vector<std::string>& words) {
  return pack_texts({pack_texts(words)});
}

// The first complete message, taken off `bytes`; nothing while it is incomplete.
std::optional<std::string> take_message(std::string& bytes) {
  const std::size_t colon = bytes.find(':');
  if (colon == std::string::npos) return std::nullopt;
  const std::size_t size = std::strtoull(bytes.c_str(), nullptr, 10);
  if (bytes.size() - colon - 1 < size) return std::nullopt;
  std::string message = bytes.substr(colon + 1, size);
  bytes.erase(0, colon + 1 + size);
  return message;
}

// Signals are for the main thread.
std::thread start_without_signals(std::function<void()> work) {
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  std::thread thread(std::move(work));
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return thread;
}

}  // namespace

void set_probes(const Socket& connection) {
  const int fd = connection.descriptor();
  const int on = 1;
  const int probe = static_cast<int>(kProbe.count());
  const auto silence = static_cast<unsigned>(std::chrono::milliseconds(kSilence).count());
  setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &probe, sizeof(probe));
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &probe, sizeof(probe));
  setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &silence, sizeof(silence));
}

Watch::Watch(std::vector<Peer> peers, OnLoss on_loss)
    : peers_(std::move(peers)),
      on_loss_(std::move(on_loss)),
      wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      thread_(start_without_signals([this] { run(); })) {}

Watch::~Watch() {
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  const std::uint64_t one = 1;
  if (write(wake_.descriptor(), &one, sizeof(one)) < 0) {
  }  // it is awake already
  thread_.join();
}

void Watch::run() {
  std::vector<Peer*> open;
  for (Peer& peer : peers_) open.push_back(&peer);
  while (true) {
    std::vector<pollfd> entries{{wake_.descriptor(), POLLIN, 0}};
    for (const Peer* peer : open) entries.push_back({peer->connection.descriptor(), POLLIN, 0});
    poll(entries.data(), entries.size(), -1);
    {
      const std::lock_guard lock(mutex_);
      if (stopped_) return;
    }
    std::vector<Peer*> still;
    for (std::size_t i = 0; i < open.size(); ++i) {
      if (entries[i + 1].revents == 0 || read(*open[i])) still.push_back(open[i]);
    }
    open = std::move(still);
  }
}

bool Watch::read(Peer& peer) {
  std::array<char, 4096> bytes{};
  while (true) {
    const ssize_t count =
        recv(peer.connection.descriptor(), bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (count > 0) {
      peer.received.append(bytes.data(), static_cast<std::size_t>(count));
      try {
        while (const auto message = take_message(peer.received)) take(peer, *message);
      } catch (const std::exception&) {
        report(loss_of(peer, EBADMSG));
        return false;
      }
    } else if (count < 0 && errno == EINTR) {
      continue;
    } else if (count < 0 && errno == EAGAIN) {
      return true;
    } else {
      if (!peer.left) report(loss_of(peer, count < 0 ? errno : 0));
      return false;
    }
  }
}

void Watch::take(Peer& peer, const std::string& message) {
  const std::vector<std::string> words = unpack_texts(message);
  if (words.size() == 1 && words[0] == "leaving") {
    const std::lock_guard lock(mutex_);
    peer.left = true;
    changed_.notify_all();
  } else if (words.size() == 3 && words[0] == "ending") {
    report({peer.rank, peer.host, cat(name_of(peer), " ended: ", words[2]), std::stoi(words[1])});
  } else if (words.size() == 5 && words[0] == "lost") {
    report({std::stoi(words[1]), words[2], words[3], std::stoi(words[4])});
  }
}

void Watch::report(const Loss& loss) {
  {
    const std::lock_guard lock(mutex_);
    if (loss_ || announced_ || stopped_) return;
    loss_ = loss;
    changed_.notify_all();
  }
  // Before this process ends as well: the others should name the first that was lost.
  send_all(message_of({"lost", std::to_string(loss.rank), loss.host, loss.sentence,
                       std::to_string(loss.exit_code)}));
  if (on_loss_) on_loss_(loss);
}

void Watch::send_all(const std::string& message) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(1);
  for (const Peer& peer : peers_) peer.connection.send(message, deadline);
}

std::vector<int> Watch::staying() const {
  std::vector<int> ranks;
  for (const Peer& peer : peers_) {
    if (!peer.left) ranks.push_back(peer.rank);
  }
  return ranks;
}

void Watch::leave(const std::function<void(const std::vector<int>&)>& waiting) {
  send_all(message_of({"leaving"}));
  std::unique_lock lock(mutex_);
  while (true) {
    if (loss_) throw ProcessLost(*loss_);
    const std::vector<int> ranks = staying();
    if (ranks.empty()) return;
    const auto done = [this] { return loss_ || staying().empty(); };
    if (!changed_.wait_for(lock, std::chrono::seconds(1), done) && waiting) {
      lock.unlock();
      waiting(ranks);
      lock.lock();
    }
  }
}

void Watch::announce_end(const std::string& why, int exit_code) {
  {
    const std::lock_guard lock(mutex_);
    if (loss_ || announced_) return;
    announced_ = true;
  }
  send_all(message_of({"ending", std::to_string(exit_code), why}));
}

std::optional<Loss> Watch::loss() const {
  const std::lock_guard lock(mutex_);
  return loss_;
}

std::optional<Loss> Watch::wait_for_loss(std::chrono::milliseconds time) const {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, time, [this] { return loss_.has_value(); });
  return loss_;
}

}  // namespace saferclip
