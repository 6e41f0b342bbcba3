// Whether tensors of CUDA cards go from card to card (NCCL) or through the host (Gloo). All
// processes must decide alike: one that waits in NCCL for one that uses Gloo waits forever.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <memory>
#include <string>
#include <torch/csrc/distributed/c10d/Backend.hpp>
#include <torch/csrc/distributed/c10d/Store.hpp>
#include <vector>

#include "distributed/watch.h"

namespace saferclip {

// What one process tells the others: which card it computes on, or why it cannot use NCCL. Never
// throws.
std::string card_report(const std::string& host, at::Device device);

// Why the processes cannot use NCCL, by their reports in the order of ranks: one of them says so,
// or two of them compute on the same card, which NCCL refuses. "" if they can.
std::string why_not_nccl(const std::vector<std::string>& reports);

// One process among the others.
struct Group {
  int rank = 0;
  int size = 1;
  std::string host;
  c10::intrusive_ptr<c10d::Store> store;
  std::shared_ptr<Watch> watch;
  std::function<void(const std::string&)> report;  // may be empty
};

// The text of each rank. Called by all, once. Throws ProcessLost.
std::vector<std::string> exchange(const std::string& text, const Group& group);

struct DeviceBackend {
  c10::intrusive_ptr<c10d::Backend> backend;  // null in all processes if it failed in one
  std::string why_not;
};

// Calls `connect`, which may block for good when another process fails: it runs in a thread that is
// left behind then. Called by all, once. Throws ProcessLost.
DeviceBackend connect_all(const std::function<c10::intrusive_ptr<c10d::Backend>()>& connect,
                          const Group& group);

// Waits until the work that was issued to the device's current stream is done. Throws ProcessLost,
// because that work may wait for a process that is lost.
void wait_for_device(at::Device device, const Watch& watch);

}  // namespace saferclip
