// Operators are tested on each device in each dtype, against the same in float64 on the CPU. How
// near they must come is a property of the dtype.
#pragma once

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <initializer_list>
#include <string>
#include <vector>

namespace saferclip {

// Of values around 1, for a result that is rounded a few times.
inline double tolerance_of(at::ScalarType dtype) {
  if (dtype == at::kDouble) return 1e-13;
  return dtype == at::kBFloat16 ? 8e-3 : 1e-6;
}

struct OperatorPlace {
  at::DeviceType device = at::kCPU;
  at::ScalarType dtype = at::kFloat;
};

class OperatorTest : public ::testing::TestWithParam<OperatorPlace> {
 protected:
  void SetUp() override {
    if (GetParam().device == at::kCUDA && !at::hasCUDA()) GTEST_SKIP() << "no CUDA device";
  }
  at::ScalarType dtype() const { return GetParam().dtype; }
  double tolerance() const { return tolerance_of(dtype()); }
  // Drawn on the CPU: the same numbers on every device.
  at::Tensor random(at::IntArrayRef sizes, double scale = 1) const {
    return there(at::randn(sizes).mul(scale));
  }
  at::Tensor there(const at::Tensor& x) const {
    return x.to(at::Device(GetParam().device), dtype());
  }
};

// The same values in float64 on the CPU.
inline at::Tensor exact(const at::Tensor& x) {
  return x.detach().to(at::Device(at::kCPU), at::kDouble);
}

inline double largest_difference(const at::Tensor& found, const at::Tensor& expected) {
  return (exact(found) - exact(expected)).abs().max().item<double>();
}

// The largest difference, relative to the largest value.
inline double relative_error(const at::Tensor& found, const at::Tensor& expected) {
  return largest_difference(found, expected) / exact(expected).abs().max().item<double>();
}

// For INSTANTIATE_TEST_SUITE_P: on a device in these dtypes. Instances on CUDA have a prefix that
// starts with Gpu.
inline auto places(at::DeviceType device, std::initializer_list<at::ScalarType> dtypes) {
  std::vector<OperatorPlace> all;
  for (const at::ScalarType dtype : dtypes) all.push_back({device, dtype});
  return ::testing::ValuesIn(all);
}

inline std::string place_name(const ::testing::TestParamInfo<OperatorPlace>& info) {
  return at::toString(info.param.dtype);
}

}  // namespace saferclip
