// The only file that sees ProcessGroupGloo, whose header needs those of Gloo. LibTorch contains
// Gloo without its headers; Debian's libgloo-dev has older ones. That is harmless as long as this
// file only makes a ProcessGroupGloo and passes pointers on: c10d's class and its Options hold
// Gloo's objects by shared_ptr, so their layout does not depend on Gloo's version, and no inline
// function or virtual table of Gloo's classes is compiled in here.
#define USE_C10D_GLOO  // as LibTorch was built
#include "distributed/gloo.h"

#include <chrono>
#include <cstdlib>
#include <sstream>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>

namespace saferclip {

c10::intrusive_ptr<c10d::Backend> connect_gloo(const c10::intrusive_ptr<c10d::Store>& store,
                                               int rank, int size, const std::string& address) {
  using c10d::ProcessGroupGloo;
  // Whether another process is still there is for the watch to say, not for a time limit.
  constexpr std::chrono::hours kForever{24 * 365};
  const auto options = ProcessGroupGloo::Options::create(kForever);
  const char* chosen = std::getenv("GLOO_SOCKET_IFNAME");  // NOLINT(concurrency-mt-unsafe)
  std::istringstream interfaces(chosen == nullptr ? "" : chosen);
  for (std::string name; std::getline(interfaces, name, ',');) {
    options->devices.push_back(ProcessGroupGloo::createDeviceForInterface(name));
  }
  if (options->devices.empty()) {
    options->devices.push_back(ProcessGroupGloo::createDeviceForHostname(address));
  }
  return c10::make_intrusive<ProcessGroupGloo>(store, rank, size, options);
}

}  // namespace saferclip
