// The connections that tensors take: Gloo for host memory, NCCL for cards. Gloo works on host
// memory only, so without NCCL the tensors of a card are staged through pinned memory. c10d can do
// that itself, but only in CUDA builds, and one way serves all builds.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <optional>
#include <string>
#include <torch/csrc/distributed/c10d/Work.hpp>

#include "distributed/device_backend.h"

namespace saferclip {

using Work = c10::intrusive_ptr<c10d::Work>;

// Waits for work on `values`; by NCCL the card's current stream does, and the host goes on. Adds to
// `watch` how long that took. Throws ProcessLost.
void finish(c10d::Work& work, const at::Tensor& values, const Watch& watch);

// What fails a little before or after the watch notices that a process died.
[[noreturn]] void throw_failure(const Watch& watch, const std::string& what);

// The operations are called by all processes in the same order, with tensors of equal shape and
// dtype that sendable() returned, or contiguous ones of which goes_by_nccl() holds.
class Channels {
 public:
  // Connects by Gloo from `address`. Blocks until all do so. Throws ProcessLost.
  Channels(Group group, const std::string& address);
  Channels(const Channels&) = delete;
  Channels& operator=(const Channels&) = delete;
  ~Channels();

  // The first question about a device tensor, which all processes put at the same time, decides:
  // they agree on NCCL and connect by it, or do neither.
  bool goes_by_nccl(const at::Tensor& tensor);
  // The values in contiguous memory where a backend takes them, on the card or on the host: the
  // tensor itself or a copy.
  at::Tensor sendable(const at::Tensor& tensor);

  // In place. The values must not be used before finish().
  Work start_sum(const at::Tensor& values);
  void broadcast(const at::Tensor& values, int root);
  // `all`: `own` of each rank, one after the other.
  void gather(at::Tensor own, at::Tensor all);
  // By NCCL only: the sum of this rank's part of `whole`.
  void reduce_scatter(at::Tensor whole, at::Tensor part);

  // Waits for what NCCL has still to do. Throws ProcessLost.
  void drain() const;
  // A process is lost: leaves threads behind that may wait for its messages.
  void abandon();

 private:
  void choose(at::Device device);
  c10d::Backend& backend_of(const at::Tensor& values) { return values.is_cpu() ? *gloo_ : *nccl_; }

  Group group_;
  c10::intrusive_ptr<c10d::Backend> gloo_;
  std::optional<at::Device> device_;        // of the device tensors, once there was one
  c10::intrusive_ptr<c10d::Backend> nccl_;  // null: they are staged through the host
};

}  // namespace saferclip
