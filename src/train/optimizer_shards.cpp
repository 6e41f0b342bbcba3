// The largest leaves are dealt out first, each to the process that has least. Updated leaves travel
// in flat buckets, one sender after the other.
#include "saferclip/train/optimizer_shards.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <numeric>

namespace saferclip {
namespace {

constexpr std::int64_t kBucket = std::int64_t{8} << 20;  // numbers

struct Dealt {
  std::vector<int> owners;
  std::vector<std::int64_t> load;  // numbers of each process
};

Dealt deal(const std::vector<TrainedParameter>& parameters, int size) {
  std::vector<std::size_t> order(parameters.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, std::greater(),
                           [&](std::size_t i) { return parameters[i].tensor.numel(); });
  Dealt dealt{std::vector<int>(parameters.size()),
              std::vector<std::int64_t>(static_cast<std::size_t>(size))};
  for (const std::size_t i : order) {
    const auto least = std::ranges::min_element(dealt.load);
    *least += parameters[i].tensor.numel();
    dealt.owners[i] = static_cast<int>(least - dealt.load.begin());
  }
  return dealt;
}

// Of the leaves of one sender: those that travel together.
std::vector<std::vector<at::Tensor>> buckets_of(const std::vector<at::Tensor>& leaves) {
  std::vector<std::vector<at::Tensor>> buckets;
  std::int64_t size = kBucket;
  for (const at::Tensor& leaf : leaves) {
    if (size + leaf.numel() > kBucket) {
      buckets.emplace_back();
      size = 0;
    }
    buckets.back().push_back(leaf.detach());
    size += leaf.numel();
  }
  return buckets;
}

void send(const Processes& processes, int sender, const std::vector<at::Tensor>& bucket) {
  std::vector<at::Tensor> rows;
  std::vector<std::int64_t> sizes;
  for (const at::Tensor& leaf : bucket) {
    rows.push_back(leaf.reshape({-1}));
    sizes.push_back(leaf.numel());
  }
  const bool is_sender = processes.rank() == sender;
  const at::Tensor flat =
      is_sender ? at::cat(rows)
                : at::empty({std::reduce(sizes.begin(), sizes.end())}, bucket.front().options());
  processes.broadcast_(flat, sender);
  if (!is_sender) at::_foreach_copy_(rows, at::split_with_sizes(flat, sizes));
}

}  // namespace

OptimizerShards::OptimizerShards(const Processes& processes,
                                 const std::vector<TrainedParameter>& parameters)
    : processes_(processes), owners_(deal(parameters, processes.size()).owners) {
  for (const TrainedParameter& parameter : parameters) leaves_.push_back(parameter.tensor);
}

std::vector<bool> OptimizerShards::held() const {
  std::vector<bool> held;
  for (const int owner : owners_) held.push_back(owner == processes_.rank());
  return held;
}

void OptimizerShards::spread() const {
  const at::NoGradGuard guard;
  for (int sender = 0; sender < processes_.size(); ++sender) {
    std::vector<at::Tensor> leaves;
    for (std::size_t i = 0; i < leaves_.size(); ++i) {
      if (owners_[i] == sender) leaves.push_back(leaves_[i]);
    }
    for (const std::vector<at::Tensor>& bucket : buckets_of(leaves)) {
      send(processes_, sender, bucket);
    }
  }
}

at::Tensor OptimizerShards::to_first(std::size_t i, const at::Tensor& own) const {
  const int owner = owners_[i];
  const at::Tensor moment = own.defined() ? own.detach() : at::empty_like(leaves_[i]).detach();
  if (owner != 0) processes_.broadcast_(moment, owner);
  return processes_.is_first() ? moment.to(at::kCPU) : at::Tensor();
}

std::int64_t largest_shard(const std::vector<TrainedParameter>& parameters, int size) {
  return std::ranges::max(deal(parameters, size).load);
}

}  // namespace saferclip
