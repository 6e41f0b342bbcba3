// The only file that sees ProcessGroupNCCL, whose header needs those of NCCL and CUDA. The library
// is the one that LibTorch loads; nothing of NCCL or CUDA is called by name here.
#define USE_C10D_NCCL  // as LibTorch was built
#include "distributed/nccl.h"

#include <c10/core/DeviceGuard.h>
#include <c10/util/env.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>

#include "saferclip/distributed/processes.h"

namespace saferclip {

#ifndef SAFERCLIP_NCCL_MODULE
bool has_nccl() { return true; }
std::string nccl_problem() { return ""; }
#endif

std::string card_address(at::Device device) {
  const cudaDeviceProp* card = at::cuda::getDeviceProperties(device.index());
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%04x:%02x:%02x", card->pciDomainID, card->pciBusID,
                card->pciDeviceID);
  return text.data();
}

c10::intrusive_ptr<c10d::Backend> connect_nccl(const c10::intrusive_ptr<c10d::Store>& store,
                                               int rank, int size, at::Device device) {
  using c10d::ProcessGroupNCCL;
  // Whether another process is still there is for the watch to say. c10d's own watchdog would print
  // pages and abort this process, perhaps before the watch could say who was lost. It does not run
  // if wait() is to block the host, which Work::synchronize() does not do even then.
  c10::utils::set_env("TORCH_NCCL_BLOCKING_WAIT", "1");
  const auto options = ProcessGroupNCCL::Options::create();
  options->timeout = std::chrono::hours(24 * 365);
  const c10::DeviceGuard guard(device);  // no context on the first card by mistake
  // A connection of its own, because a call that waits for a key blocks all others; and patient,
  // because a process that was stopped for a while is waited for.
  const auto keys = c10::make_intrusive<c10d::PrefixStore>("nccl", store->clone());
  keys->setTimeout(std::chrono::hours(24));
  auto backend = c10::make_intrusive<ProcessGroupNCCL>(keys, rank, size, options);
  backend->eagerConnectSingleDevice(device);
  return backend;
}

}  // namespace saferclip

#ifdef SAFERCLIP_NCCL_MODULE
extern "C" __attribute__((visibility("default"))) const saferclip::NcclFunctions saferclip_nccl{
    NCCL_VERSION_CODE, CUDART_VERSION, &saferclip::card_address, &saferclip::connect_nccl};
#endif
