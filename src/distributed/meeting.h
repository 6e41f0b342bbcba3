// How the processes of a run find each other.
#pragma once

#include <string>
#include <torch/csrc/distributed/c10d/Store.hpp>
#include <vector>

#include "distributed/watch.h"
#include "saferclip/distributed/launch.h"
#include "saferclip/distributed/processes.h"

namespace saferclip {

struct Meeting {
  // Keys of this start of the run alone.
  c10::intrusive_ptr<c10d::Store> store;
  // The IP address under which the other machines reach this one.
  std::string address;
  std::string host;
  // Every other process, connected.
  std::vector<Peer> peers;
};

Meeting meet(const Launch& launch, const JoinOptions& options);

}  // namespace saferclip
