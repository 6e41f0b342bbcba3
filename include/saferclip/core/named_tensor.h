// A tensor and the name that files know it by: what readers, writers, models and checkpoints pass
// to each other.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>

namespace saferclip {

struct NamedTensor {
  std::string name;
  at::Tensor tensor;
};

}  // namespace saferclip
