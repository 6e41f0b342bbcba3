// ZeRO-1 (arXiv 1910.02054): each of several processes holds the moments of some leaves and updates
// those. Whole leaves, so an update has the bits that it has in one process.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <vector>

#include "saferclip/distributed/processes.h"
#include "saferclip/nn/optimizer.h"

namespace saferclip {

class OptimizerShards {
 public:
  // Deals out the leaves so that all processes hold about as much; the same in all of them.
  OptimizerShards(const Processes& processes, const std::vector<TrainedParameter>& parameters);

  // Whether this process holds each leaf.
  std::vector<bool> held() const;

  // After an update: each process gets the leaves that the others have updated.
  void spread() const;

  // A moment of leaf i in the host memory of the first process, whoever holds it. Called by all:
  // `own` is defined in the holder alone, the result in the first process alone.
  at::Tensor to_first(std::size_t i, const at::Tensor& own) const;

 private:
  Processes processes_;
  std::vector<at::Tensor> leaves_;
  std::vector<int> owners_;
};

// The numbers that the process with most of them holds; those of one of `size`.
std::int64_t largest_shard(const std::vector<TrainedParameter>& parameters, int size);

}  // namespace saferclip
