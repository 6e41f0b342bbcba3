#include "distributed/socket.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <system_error>

#include "saferclip/core/error.h"

namespace saferclip {
namespace {

using Clock = std::chrono::steady_clock;
using Addresses = std::unique_ptr<addrinfo, decltype(&freeaddrinfo)>;

std::string system_text(int code) { return std::generic_category().message(code); }

Addresses resolve(const std::string& host, int port, int flags, std::string& problem) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = flags | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int code = getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
  if (code != 0) {
    problem = code == EAI_SYSTEM ? system_text(errno) : gai_strerror(code);
    found = nullptr;
  }
  return {found, &freeaddrinfo};
}

bool wait_for(int descriptor, short events, Deadline deadline) {
  while (true) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
    pollfd entry{descriptor, events, 0};
    const int count = poll(&entry, 1, static_cast<int>(std::clamp<long>(left, 0, 60000)));
    if (count > 0) return true;
    if (count < 0 && errno != EINTR) return false;
    if (left <= 0) return false;
  }
}

Socket open_socket(const addrinfo& address) {
  return Socket(socket(address.ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}

using Ask = int (*)(int, sockaddr*, socklen_t*);

std::string address_of(int descriptor, Ask ask, int* port) {
  sockaddr_storage address{};
  socklen_t size = sizeof(address);
  auto* plain = reinterpret_cast<sockaddr*>(&address);
  std::array<char, NI_MAXHOST> host{};
  std::array<char, NI_MAXSERV> service{};
  if (ask(descriptor, plain, &size) != 0 ||
      getnameinfo(plain, size, host.data(), host.size(), service.data(), service.size(),
                  NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
    return "";
  }
  if (port != nullptr) *port = std::stoi(service.data());
  return host.data();
}

// Whether the connection is made by `deadline`.
bool finish_connecting(int descriptor, Deadline deadline, std::string& problem) {
  if (!wait_for(descriptor, POLLOUT, deadline)) {
    problem = "no answer";
    return false;
  }
  int code = 0;
  socklen_t size = sizeof(code);
  getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &code, &size);
  if (code != 0) problem = system_text(code);
  return code == 0;
}

}  // namespace

Socket& Socket::operator=(Socket&& other) noexcept {
  if (this != &other) {
    close();
    descriptor_ = std::exchange(other.descriptor_, -1);
  }
  return *this;
}

void Socket::close() {
  if (descriptor_ >= 0) ::close(descriptor_);
  descriptor_ = -1;
}

std::string Socket::own_address() const { return address_of(descriptor_, getsockname, nullptr); }

std::string Socket::peer_address() const { return address_of(descriptor_, getpeername, nullptr); }

int Socket::own_port() const {
  int port = 0;
  address_of(descriptor_, getsockname, &port);
  return port;
}

bool Socket::send(const std::string& data, Deadline deadline) const {
  std::size_t sent = 0;
  while (sent < data.size()) {
    const ssize_t count =
        ::send(descriptor_, data.data() + sent, data.size() - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count > 0) {
      sent += static_cast<std::size_t>(count);
    } else if (errno == EAGAIN || errno == EINTR) {
      if (!wait_for(descriptor_, POLLOUT, deadline)) return false;
    } else {
      return false;
    }
  }
  return true;
}

bool Socket::is_ended() const {
  char next = 0;
  const ssize_t count = recv(descriptor_, &next, 1, MSG_PEEK | MSG_DONTWAIT);
  return count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR);
}

std::optional<std::string> Socket::read_line(Deadline deadline) const {
  constexpr std::size_t kLongest = 4096;
  std::string line;
  while (line.size() < kLongest) {
    if (!wait_for(descriptor_, POLLIN, deadline)) return std::nullopt;
    char letter = 0;  // one at a time: what follows the line belongs to the next reader
    const ssize_t count = recv(descriptor_, &letter, 1, MSG_DONTWAIT);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    if (count <= 0) return std::nullopt;
    if (letter == '\n') return line;
    line += letter;
  }
  return std::nullopt;
}

Socket listen_at(const std::string& address) {
  std::string problem;
  const Addresses found = resolve(address, 0, AI_NUMERICHOST | AI_PASSIVE, problem);
  if (found) {
    Socket listener = open_socket(*found);
    if (listener.is_open() && bind(listener.descriptor(), found->ai_addr, found->ai_addrlen) == 0 &&
        listen(listener.descriptor(), SOMAXCONN) == 0) {
      return listener;
    }
    problem = system_text(errno);
  }
  throw Error("cannot wait for connections of other processes at " + address + ": " + problem, 1);
}

Socket accept_from(const Socket& listener, Deadline deadline) {
  if (!wait_for(listener.descriptor(), POLLIN, deadline)) return {};
  return Socket(accept4(listener.descriptor(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
}

Socket connect_to(const std::string& host, int port, Deadline deadline, std::string& problem) {
  const Addresses found = resolve(host, port, 0, problem);
  for (const addrinfo* address = found.get(); address != nullptr; address = address->ai_next) {
    Socket connection = open_socket(*address);
    if (!connection.is_open()) continue;
    const int result = connect(connection.descriptor(), address->ai_addr, address->ai_addrlen);
    if (result != 0 && errno != EINPROGRESS) {
      problem = system_text(errno);
    } else if (finish_connecting(connection.descriptor(), deadline, problem)) {
      return connection;
    }
  }
  return {};
}

bool is_loopback(const std::string& address) {
  return address == "::1" || address.starts_with("127.") || address.starts_with("::ffff:127.");
}

}  // namespace saferclip
