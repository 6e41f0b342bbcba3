// c10d's backend for CPU tensors.
#pragma once

#include <string>
#include <torch/csrc/distributed/c10d/Backend.hpp>
#include <torch/csrc/distributed/c10d/Store.hpp>

namespace saferclip {

// Connects to all others from `address`, or from the interfaces of GLOO_SOCKET_IFNAME as in
// PyTorch. Blocks until all do so. Its operations wait without a time limit.
c10::intrusive_ptr<c10d::Backend> connect_gloo(const c10::intrusive_ptr<c10d::Store>& store,
                                               int rank, int size, const std::string& address);

}  // namespace saferclip
