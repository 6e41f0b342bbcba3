// The gradients of all processes, added up.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "saferclip/data/batch.h"
#include "saferclip/distributed/processes.h"
#include "saferclip/nn/optimizer.h"

namespace saferclip {

class GradientSum {
 public:
  // `direct`: the leaves, or undefined tensors, that enter the losses themselves (logit scale,
  // bias). Every process computes the losses of all rows, so each has their gradient whole: it is
  // counted once.
  GradientSum(const Processes& processes, const std::vector<TrainedParameter>& parameters,
              std::vector<at::Tensor> direct);

  // Replaces each leaf's gradient with the sum over the processes, the same bits in all of them.
  // Call it after the backward passes of `batch`. Returns fp32 [size], on the leaves' device: what
  // every process gave as `stop_code`.
  at::Tensor sum(const Batch& batch, int stop_code);

 private:
  // Leaves whose gradients travel together, in one flat tensor.
  using Bucket = std::vector<at::Tensor>;
  std::vector<Bucket> buckets_of_gradients(bool all_have_rows) const;

  Processes processes_;
  std::vector<at::Tensor> leaves_;
  std::vector<at::Tensor> direct_;
};

}  // namespace saferclip
