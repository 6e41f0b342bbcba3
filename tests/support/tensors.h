// Comparisons that say where tensors differ most.
#pragma once

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <string>

namespace saferclip {

inline double max_difference(const at::Tensor& a, const at::Tensor& b) {
  if (a.numel() == 0) return 0;
  return (a.to(at::kDouble) - b.to(at::kDouble)).abs().max().item<double>();
}

inline void expect_close(const at::Tensor& actual, const at::Tensor& expected, double absolute,
                         const std::string& what) {
  ASSERT_EQ(actual.sizes(), expected.sizes()) << what;
  const double difference = max_difference(actual, expected);
  EXPECT_LE(difference, absolute) << what << ": largest difference " << difference
                                  << ", largest value " << expected.abs().max().item<double>();
}

inline double cosine(const at::Tensor& a, const at::Tensor& b) {
  const at::Tensor x = a.flatten().to(at::kDouble);
  const at::Tensor y = b.flatten().to(at::kDouble);
  return (x.dot(y) / (x.norm() * y.norm())).item<double>();
}

}  // namespace saferclip
