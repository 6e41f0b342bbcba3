// c10d's backend for tensors on CUDA cards. Optional: a program that is built without a CUDA build
// of LibTorch, as the wheel is, has nccl_module.cpp in the place of nccl.cpp. That one loads
// nccl.cpp as a library of its own, if it lies beside the program and the LibTorch at hand is a
// CUDA build. has_nccl() of processes.h says whether.
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

// What the library beside the program exports as `saferclip_nccl`. The versions are those of the
// headers that it was compiled with: what LibTorch declares depends on them.
struct NcclFunctions {
  int nccl_version;  // 22809 is 2.28.9
  int cuda_version;  // 13000 is 13.0
  decltype(&saferclip::card_address) card_address;
  decltype(&saferclip::connect_nccl) connect_nccl;
};

}  // namespace saferclip
