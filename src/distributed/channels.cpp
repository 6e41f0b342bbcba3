#include "distributed/channels.h"

#include <ATen/ATen.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <utility>

#include "distributed/gloo.h"
#include "distributed/nccl.h"
#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"
#include "saferclip/core/transfers.h"

namespace saferclip {
namespace {

// The work that `call` starts. NCCL may notice here that a process is gone.
template <class Call>
Work started(const Watch& watch, const Call& call) {
  try {
    return call();
  } catch (const c10::DistBackendError& problem) {
    throw_failure(watch, problem.what_without_backtrace());
  }
}

}  // namespace

void throw_failure(const Watch& watch, const std::string& what) {
  if (const auto loss = watch.wait_for_loss(kSilence + std::chrono::seconds(10))) {
    throw ProcessLost(*loss);
  }
  throw Error("the connection to another process of the run failed: " + what, kProcessLost);
}

void finish(c10d::Work& work, const at::Tensor& values, const Watch& watch) {
  if (!values.is_cpu()) return work.synchronize();
  const auto began = std::chrono::steady_clock::now();
  // In pieces, so that the loss of a process whose connection just stays silent ends it.
  while (!work.isCompleted()) {
    if (const auto loss = watch.loss()) throw ProcessLost(*loss);
    try {
      work.wait(std::chrono::milliseconds(500));
    } catch (const std::exception&) {  // time is up, or a failure, which stays
    }
  }
  try {
    work.wait();
  } catch (const std::exception& problem) {
    throw_failure(watch, problem.what());
  }
  watch.add_waiting(std::chrono::steady_clock::now() - began);
}

Channels::Channels(Group group, const std::string& address) : group_(std::move(group)) {
  try {
    gloo_ = connect_gloo(group_.store, group_.rank, group_.size, address);
  } catch (const std::exception& problem) {
    throw_failure(*group_.watch, problem.what());
  }
}

Channels::~Channels() {
  if (nccl_) nccl_->abort();  // all is done, see drain(); without this its end prints a warning
}

void Channels::choose(at::Device device) {
  device_ = device;
  DeviceBackend chosen;
  chosen.why_not = why_not_nccl(exchange(card_report(group_.host, device), group_));
  if (chosen.why_not.empty()) {
    chosen = connect_all([store = group_.store, rank = group_.rank, size = group_.size,
                          device] { return connect_nccl(store, rank, size, device); },
                         group_);
  }
  nccl_ = chosen.backend;
  // c10d asks about streams of the thread's current card, which must not be the first of all.
  if (nccl_) c10::impl::VirtualGuardImpl(device.type()).setDevice(device);
  if (!group_.report) return;
  group_.report(nccl_ ? "tensors go from card to card (NCCL)"
                      : cat("tensors go through the host (Gloo): ", chosen.why_not));
}

bool Channels::goes_by_nccl(const at::Tensor& tensor) {
  if (tensor.is_cpu()) return false;
  if (!device_) choose(tensor.device());
  return nccl_ && tensor.device() == *device_;
}

at::Tensor Channels::sendable(const at::Tensor& tensor) {
  if (goes_by_nccl(tensor)) return tensor.detach().contiguous();
  Downloads downloads;
  at::Tensor host = downloads.start(tensor.detach());
  downloads.wait();
  return host.contiguous();
}

Work Channels::start_sum(const at::Tensor& values) {
  std::vector<at::Tensor> tensors{values};
  return started(*group_.watch, [&] { return backend_of(values).allreduce(tensors); });
}

void Channels::broadcast(const at::Tensor& values, int root) {
  std::vector<at::Tensor> tensors{values};
  c10d::BroadcastOptions options;
  options.rootRank = root;
  const Work work =
      started(*group_.watch, [&] { return backend_of(values).broadcast(tensors, options); });
  finish(*work, values, *group_.watch);
}

void Channels::gather(at::Tensor own, at::Tensor all) {
  const Work work =
      started(*group_.watch, [&] { return backend_of(own)._allgather_base(all, own); });
  finish(*work, own, *group_.watch);
}

void Channels::reduce_scatter(at::Tensor whole, at::Tensor part) {
  const Work work =
      started(*group_.watch, [&] { return nccl_->_reduce_scatter_base(part, whole); });
  finish(*work, part, *group_.watch);
}

void Channels::drain() const {
  if (nccl_) wait_for_device(*device_, *group_.watch);
}

void Channels::abandon() {
  (void)gloo_.release();
  (void)nccl_.release();
}

}  // namespace saferclip
