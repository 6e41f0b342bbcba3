// The store is torchrun's or rank 0's. torchrun's outlives a restart of the processes and then
// still holds what their predecessors wrote: entries are believed only once the process that they
// name answers, and the keys used afterwards carry a number that rank 0 drew.
//
// A host name is a poor guide to a machine's address: Debian's /etc/hosts makes it 127.0.1.1. The
// address is that of this machine's end of a connection to the store. On the store's own machine
// that can be the loopback address; there, the address is the one at which the others see it.
#include "distributed/meeting.h"

#include <c10/util/Logging.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <random>
#include <sstream>
#include <thread>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include "distributed/packed_texts.h"
#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"

namespace saferclip {
namespace {

using Clock = std::chrono::steady_clock;

std::string host_name() {
  std::array<char, 256> name{};
  gethostname(name.data(), name.size() - 1);
  return name.data();
}

std::string random_number() {
  std::random_device device;
  return cat(device(), device());
}

std::string numbers(const std::vector<int>& ranks) {
  std::vector<std::string> texts;
  for (const int rank : ranks) texts.push_back(cat(rank));
  return join(shortened(texts, 8), ", ");
}

// Waiting for the others, in small pieces.
class Patience {
 public:
  Patience(const Launch& launch, const JoinOptions& options) : launch_(launch), options_(options) {}

  Deadline soon() const { return Clock::now() + std::chrono::seconds(5); }
  // Sleeps a little. Throws when time is up or a stop was requested.
  void pause(const std::string& awaited) {
    throw_if_stopped(options_.stop, "interrupted while waiting for " + awaited);
    const auto waited = std::chrono::duration_cast<std::chrono::seconds>(Clock::now() - began_);
    if (waited >= options_.time_limit) {
      throw Error(
          cat("waited ", waited.count(), " s for ", awaited, "; check that all ", launch_.size,
              " processes were started, look into the logs of those that are "
              "missing, and whether their machines reach ",
              launch_.address, ":", launch_.port),
          kProcessLost);
    }
    if (waited >= next_report_) {
      if (options_.report) options_.report(cat("waiting for ", awaited));
      next_report_ = waited + std::chrono::seconds(10);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }

 private:
  const Launch& launch_;
  const JoinOptions& options_;
  const Clock::time_point began_ = Clock::now();
  std::chrono::seconds next_report_{5};
};

// c10d warns on stderr of machines whose address has no name, which is common and harmless, and of
// a lost store, for which there is a better sentence.
class Quiet {
 public:
  Quiet() { FLAGS_caffe2_log_level = std::max(before_, 2); }  // errors and worse
  ~Quiet() { FLAGS_caffe2_log_level = before_; }
  Quiet(const Quiet&) = delete;
  Quiet& operator=(const Quiet&) = delete;

 private:
  const int before_ = FLAGS_caffe2_log_level;
};

c10::intrusive_ptr<c10d::Store> open_store(const Launch& launch, bool serve) {
  c10d::TCPStoreOptions options;
  options.port = static_cast<std::uint16_t>(launch.port);
  options.isServer = serve;
  options.waitWorkers = false;
  options.timeout = std::chrono::seconds(60);
  try {
    return c10::make_intrusive<c10d::TCPStore>(launch.address, options);
  } catch (const c10::Error& problem) {
    const std::string first = problem.what_without_backtrace();
    throw ConfigError(cat(serve ? "cannot serve" : "cannot use",
                          " the meeting point of the run at ", launch.address, ":", launch.port,
                          " (", first.substr(0, first.find('\n')),
                          "); set MASTER_ADDR to the machine of rank 0 and MASTER_PORT to a port "
                          "that is free on it"));
  }
}

Error lost_meeting_point(const Launch& launch, const std::string& problem) {
  return {cat("the meeting point of the run at ", launch.address, ":", launch.port, " was lost (",
              problem.substr(0, problem.find('\n')), ") while the run was starting: ",
              launch.store_is_served ? "torchrun's first agent" : "rank 0",
              " has ended; its log says why. Start all again, with --resume auto if the run has "
              "checkpoints"),
          kProcessLost};
}

class Guest {
 public:
  Guest(const Launch& launch, const JoinOptions& options)
      : launch_(launch), patience_(launch, options) {}

  Meeting meet() {
    meeting_.host = host_name();
    find_store();
    listener_ = listen_at(meeting_.address);
    store_->set(key("hello", launch_.rank),
                pack_texts({meeting_.address, cat(listener_.own_port()), number_, meeting_.host}));
    for (int rank = 0; rank < launch_.rank; ++rank) connect(rank);
    while (!missing().empty()) accept();
    for (const Peer& peer : meeting_.peers) set_probes(peer.connection);
    const std::string& drawn = launch_.rank == 0 ? number_ : first_number_;
    meeting_.store = c10::make_intrusive<c10d::PrefixStore>(key(drawn, launch_.size), store_);
    return std::move(meeting_);
  }

 private:
  std::string key(const std::string& what, int rank) const {
    return cat("saferclip/", launch_.run_id, "/", launch_.restarts, "/", what, "/", rank);
  }

  // The texts under a key; nothing if it is not there.
  std::vector<std::string> look_up(const std::string& name) const {
    if (!store_->check({name})) return {};
    const std::vector<std::uint8_t> bytes = store_->get(name);
    return unpack_texts(std::string(bytes.begin(), bytes.end()));
  }

  void find_store() {
    const bool serve = launch_.rank == 0 && !launch_.store_is_served;
    if (serve) store_ = open_store(launch_, true);
    // A plain connection first: a client of the store would wait without listening to a request to
    // stop, and complain on stderr.
    std::string problem;
    Socket probe;
    while (
        !(probe = connect_to(launch_.address, launch_.port, patience_.soon(), problem)).is_open()) {
      patience_.pause(cat("the meeting point of the run at ", launch_.address, ":", launch_.port,
                          " (", problem, ")"));
    }
    if (!serve) open_as_client();
    meeting_.address = probe.own_address();
    store_->set(key("seen", launch_.rank),
                pack_texts({probe.peer_address(), meeting_.host, cat(launch_.size)}));
    if (is_loopback(meeting_.address) && launch_.local_size < launch_.size) look_from_outside();
  }

  // The plain connection was accepted: if none is any more, whoever served the store has ended.
  void open_as_client() {
    try {
      store_ = open_store(launch_, false);
    } catch (const ConfigError&) {
      std::string problem;
      if (connect_to(launch_.address, launch_.port, patience_.soon(), problem).is_open()) throw;
      throw lost_meeting_point(launch_, problem);
    }
  }

  // The address of the store's machine in the eyes of a process on another one, if there is any.
  void look_from_outside() {
    std::vector<int> unknown;
    for (int rank = 0; rank < launch_.size; ++rank) unknown.push_back(rank);
    while (true) {
      std::vector<int> still;
      for (const int rank : unknown) {
        const std::vector<std::string> seen = look_up(key("seen", rank));
        if (seen.size() != 3) {
          still.push_back(rank);
          continue;
        }
        check_size(rank, seen[1], std::stoi(seen[2]));
        if (!is_loopback(seen[0])) {
          meeting_.address = seen[0];
          return;
        }
      }
      if (still.empty()) return;
      unknown = std::move(still);
      pause(cat("rank ", numbers(unknown)));
    }
  }

  void connect(int rank) {
    while (true) {
      const std::vector<std::string> hello = look_up(key("hello", rank));
      std::string problem = "it has not started yet";
      if (hello.size() == 4) {
        const Deadline soon = patience_.soon();
        Socket connection = connect_to(hello[0], std::stoi(hello[1]), soon, problem);
        const std::string line = cat("saferclip ", hello[2], " ", launch_.rank, " ", launch_.size,
                                     " ", meeting_.host, "\n");
        if (connection.is_open() && connection.send(line, soon)) {
          if (rank == 0) first_number_ = hello[2];
          add(rank, hello[3], std::move(connection));
          return;
        }
      }
      pause(cat("rank ", rank, " (", problem, ")"));
    }
  }

  void accept() {
    Socket connection = accept_from(listener_, Clock::now() + std::chrono::milliseconds(200));
    if (!connection.is_open()) {
      const int first = missing().front();
      const std::vector<std::string> seen = look_up(key("seen", first));
      if (seen.size() == 3) check_size(first, seen[1], std::stoi(seen[2]));
      pause(cat("rank ", numbers(missing())));
      return;
    }
    std::istringstream line(connection.read_line(patience_.soon()).value_or(""));
    std::string program, number, host;
    int rank = 0;
    int size = 0;
    line >> program >> number >> rank >> size >> host;
    if (!line || program != "saferclip" || number != number_) return;  // not one of ours
    check_size(rank, host, size);
    add(rank, host, std::move(connection));
  }

  void pause(const std::string& awaited) {
    for (const Peer& peer : meeting_.peers) {
      if (!peer.connection.is_ended()) continue;
      throw ProcessLost({peer.rank, peer.host,
                         cat("rank ", peer.rank, " on ", peer.host, " (", peer.address,
                             ") ended while the run was starting; its log says why"),
                         kProcessLost});
    }
    patience_.pause(awaited);
  }

  void check_size(int rank, const std::string& host, int size) const {
    if (size == launch_.size) return;
    throw ConfigError(cat("rank ", rank, " on ", host, " was started as one of ", size,
                          " processes, rank ", launch_.rank, " on ", meeting_.host, " as one of ",
                          launch_.size, "; start all with the same number"));
  }

  void add(int rank, const std::string& host, Socket connection) {
    std::erase_if(meeting_.peers, [rank](const Peer& peer) { return peer.rank == rank; });
    Peer peer;
    peer.rank = rank;
    peer.host = host;
    peer.address = connection.peer_address();
    peer.connection = std::move(connection);
    meeting_.peers.push_back(std::move(peer));
  }

  std::vector<int> missing() const {
    std::vector<int> ranks;
    for (int rank = 0; rank < launch_.size; ++rank) {
      if (rank != launch_.rank &&
          std::ranges::find(meeting_.peers, rank, &Peer::rank) == meeting_.peers.end()) {
        ranks.push_back(rank);
      }
    }
    return ranks;
  }

  const Launch& launch_;
  Patience patience_;
  const std::string number_ = random_number();  // of this process
  std::string first_number_;                    // of rank 0
  Socket listener_;
  c10::intrusive_ptr<c10d::Store> store_;
  Meeting meeting_;
};

}  // namespace

Meeting meet(const Launch& launch, const JoinOptions& options) {
  const Quiet quiet;
  try {
    return Guest(launch, options).meet();
  } catch (const c10::Error& problem) {
    throw lost_meeting_point(launch, problem.what_without_backtrace());
  }
}

}  // namespace saferclip
