// Gradient dropout (arXiv 2307.15049): elements of a gradient a are dropped by chance where another
// one, b, disagrees. Works on any device and in any floating type.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace saferclip {

// P = ½ (1 + sgn(a) (a + b) / (|a| + |b| + eps)), element by element: about 1 where the signs
// agree, |a| / (|a| + |b|) where they do not.
at::Tensor keep_probability(const at::Tensor& a, const at::Tensor& b, double eps);

// Uniform in [0, 1) with 24 bits, fp32 in the shape and on the device of `like`. Element i depends
// on the key and on i alone: on no thread, device or draw before it.
at::Tensor counted_uniform(std::uint64_t key, const at::Tensor& like);

struct GradientDropout {
  double lambda = 1;  // 0: nothing is dropped
  double eps = 1e-8;
};
// Replaces a by ((1 − λ) + λ [P > U]) · a, U = counted_uniform(key).
void drop_gradient_(at::Tensor& a, const at::Tensor& b, const GradientDropout& options,
                    std::uint64_t key);

}  // namespace saferclip
