// c10d's backend for tensors on CUDA cards. Optional: where NCCL's or CUDA's headers are missing,
// no_nccl.cpp is compiled in the place of nccl.cpp. has_nccl() of processes.h says which.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <torch/csrc/distributed/c10d/Backend.hpp>
#include <torch/csrc/distributed/c10d/Store.hpp>

namespace saferclip {

// The PCI address of a card, "0000:3b:00", which no other card of its machine has. Throws Error
// without NCCL.
std::string card_address(at::Device device);

// Connects the cards of all processes. Blocks until all do so, on a network that NCCL chooses
// (NCCL_SOCKET_IFNAME). Its operations have no time limit; they must be awaited by
// Work::synchronize(), which makes the current stream wait and not the host. Throws Error without
// NCCL.
c10::intrusive_ptr<c10d::Backend> connect_nccl(const c10::intrusive_ptr<c10d::Store>& store,
                                               int rank, int size, at::Device device);

}  // namespace saferclip
