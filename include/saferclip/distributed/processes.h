// The processes of one run, as each of them sees the others: sums, gathered rows, waiting for each
// other. Everything goes through PyTorch's c10d: TCPStore; ProcessGroupGloo; ProcessGroupNCCL for
// tensors on CUDA cards, if the build has it in all processes and each has a card of its own. All
// processes decide that together, at the first such tensor.
//
// Every operation is called by all processes, in the same order, by one thread. With one process
// each is the identity: nothing is copied, sent or waited for. Operations may throw ProcessLost. By
// NCCL an operation is one of the card's current stream, which the host does not wait for; if a
// process is lost then, whoever waits for the card waits forever, and only OnLoss ends that.
#pragma once

#include <ATen/core/Tensor.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "saferclip/core/stop.h"
#include "saferclip/distributed/launch.h"
#include "saferclip/distributed/loss.h"

namespace saferclip {

// Whether this program has NCCL.
bool has_nccl();
// Why a CUDA build of LibTorch does not get it; empty if it does, or if none could be expected.
std::string nccl_problem();

struct JoinOptions {
  // How long to wait for all processes to start.
  std::chrono::seconds time_limit{600};
  // Called now and then while waiting, and once with the way that device tensors go; with a
  // sentence; may be empty. Kept as long as the group.
  std::function<void(const std::string&)> report;
  const StopFlag* stop = nullptr;
  OnLoss on_loss;
};

// A sum under way. The tensor must not be used before wait(), which must be called.
class PendingSum {
 public:
  PendingSum();
  ~PendingSum();
  PendingSum(PendingSum&&) noexcept;
  PendingSum& operator=(PendingSum&&) noexcept;
  void wait();

 private:
  friend class Processes;
  struct State;
  std::unique_ptr<State> state_;  // null: nothing to wait for
};

// A handle; copies stand for the same group of processes.
class Processes {
 public:
  // One process.
  Processes() = default;

  // Meets the others and connects to them. Throws ConfigError when the meeting point cannot be
  // used, Error when not all have come within the time limit, naming those that have not, and
  // Interrupted.
  static Processes join(const Launch& launch, const JoinOptions& options = {});

  int rank() const;
  int size() const;
  bool is_alone() const { return state_ == nullptr; }
  // Speaks and writes for all.
  bool is_first() const { return rank() == 0; }
  // Host names by rank.
  std::vector<std::string> hosts() const;
  // IP addresses by rank, as this process sees them.
  std::vector<std::string> addresses() const;

  // Tensors of the operations below may lie on the host or a card, the same in all processes;
  // without NCCL those of a card are staged through the host. They take no part in autograd unless
  // said so.

  // Adds up the tensors of all processes, in place; of equal shape and dtype everywhere. Every
  // process gets the same bits, and gets them again for the same values and number of processes (by
  // NCCL on the same cards, if LibTorch's deterministic kernels are on when it connects).
  void sum_(const at::Tensor& tensor) const;
  // The same while this process goes on computing. Without NCCL a device tensor is awaited here.
  PendingSum sum_async(const at::Tensor& tensor) const;

  // The rows of all processes in the order of their ranks: [sum of n, …] of [n, …]. `n` may differ
  // and be 0; what follows it and the dtype may not. With `counts`, the n of each rank, one message
  // less is needed.
  at::Tensor gather_rows(const at::Tensor& rows) const;
  at::Tensor gather_rows(const at::Tensor& rows, const std::vector<std::int64_t>& counts) const;
  // The same as part of autograd, for a loss that every process computes as a whole: the gradient
  // of the result's rows that are this process's goes back to `rows`. Nothing is sent in the
  // backward pass.
  at::Tensor gather_rows_with_gradient(const at::Tensor& rows,
                                       const std::vector<std::int64_t>& counts) const;

  // Overwrites the tensor with that of rank `root`.
  void broadcast_(const at::Tensor& tensor, int root = 0) const;

  // Sums `flat` [size · n] over all processes and returns the part [n] of this process, a view into
  // `flat`, whose other values are lost. The bits are those of sum_, but for NCCL.
  at::Tensor reduce_scatter(const at::Tensor& flat) const;
  // The parts [n] of all processes, concatenated: [size · n]. `part` may be a view into `flat`.
  void all_gather(const at::Tensor& part, const at::Tensor& flat) const;

  // How long this process has waited for messages of the operations above; by NCCL only its card
  // waits.
  double waited_seconds() const;

  // The text of each rank.
  std::vector<std::string> gather_texts(const std::string& text) const;

  // Waits until all processes are here, however long that takes. `what` names the place, which must
  // be the same for all. About once a second calls `waiting` with the ranks that are missing.
  // Throws Interrupted on a request to stop; the process must then end.
  void barrier(const std::string& what,
               const std::function<void(const std::vector<int>&)>& waiting = {},
               const StopFlag* stop = nullptr) const;

  // Throws Interrupted in all of them once one has a request to stop, so that they end at the same
  // place; the first rank's code counts. With one process: throw_if_stopped.
  void throw_if_any_stopped(const StopFlag* stop, const std::string& message) const;
  // The ranks that say yes.
  std::vector<int> ranks_with(bool yes) const;

  // The end that all agree on, be it the last step, a stop or an error of all: waits until all
  // others call it as well. Otherwise they are told, when the last handle goes, that this process
  // failed.
  void leave(const std::function<void(const std::vector<int>&)>& waiting = {}) const;
  // Before this process ends alone: the others get a Loss with `why` and `exit_code`. From any
  // thread.
  void announce_end(const std::string& why, int exit_code) const;

 private:
  struct State;
  std::shared_ptr<State> state_;  // null: one process
};

}  // namespace saferclip
