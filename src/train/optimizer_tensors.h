// An optimizer's state as checkpoints name it.
#pragma once

#include <cstddef>
#include <functional>
#include <vector>

#include "saferclip/core/named_tensor.h"
#include "saferclip/nn/optimizer.h"

namespace saferclip {

struct OptimizerSlot {
  const char* suffix;
  const at::Tensor& (Optimizer::*state)(std::size_t) const;
};

// Moments are named after their parts, step counts after the first part. Leaves out the moments
// that `moment_of` does not give.
using MomentOf = std::function<at::Tensor(std::size_t parameter, const OptimizerSlot& moment)>;
std::vector<NamedTensor> optimizer_tensors(const std::vector<TrainedParameter>& parameters,
                                           const Optimizer& optimizer, const MomentOf& moment_of);

// What a file of an optimizer holds, whoever holds the moments.
std::size_t optimizer_tensor_count(const std::vector<TrainedParameter>& parameters);

// Nothing without a loss scale.
std::vector<NamedTensor> loss_scale_tensors(const Optimizer& optimizer);

}  // namespace saferclip
