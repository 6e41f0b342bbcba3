// TCP connections between the processes of a run.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <utility>

namespace saferclip {

using Deadline = std::chrono::steady_clock::time_point;

// Owns a descriptor. Programs that this one starts do not inherit it.
class Socket {
 public:
  Socket() = default;
  explicit Socket(int descriptor) : descriptor_(descriptor) {}
  Socket(Socket&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  Socket& operator=(Socket&& other) noexcept;
  ~Socket() { close(); }

  bool is_open() const { return descriptor_ >= 0; }
  int descriptor() const { return descriptor_; }
  void close();

  // IP addresses of the two ends, "" if not connected.
  std::string own_address() const;
  std::string peer_address() const;
  int own_port() const;

  // Whether all of `data` was taken over by the system by `deadline`.
  bool send(const std::string& data, Deadline deadline) const;
  // Whether the other end is closed. What arrived stays to be read.
  bool is_ended() const;
  // A line without its end; nothing if it does not come by `deadline` or is too long for a message.
  std::optional<std::string> read_line(Deadline deadline) const;

 private:
  int descriptor_ = -1;
};

// Throws Error if `address` (an IP address) is not this machine's.
Socket listen_at(const std::string& address);

// The next connection that arrives by `deadline`, else a closed socket.
Socket accept_from(const Socket& listener, Deadline deadline);

// A connection to the host (name or IP address), else a closed socket, and in `problem` why.
Socket connect_to(const std::string& host, int port, Deadline deadline, std::string& problem);

bool is_loopback(const std::string& address);

}  // namespace saferclip
