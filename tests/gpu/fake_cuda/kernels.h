// What kernels of the fake device are made of. A kernel sees its operands' memory as CPU tensors,
// runs the CPU's kernel on them, and moves what came out to the device.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/stack.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace fake_cuda {

bool is_on_device(const at::Tensor& t);

// CPU tensors of device memory. Tensors that share a storage share one here, so that LibTorch's
// checks for overlapping operands hold.
class Views {
 public:
  // Brings in the late uploads that the current stream is ordered after.
  at::Tensor of(const at::Tensor& t);

 private:
  std::vector<std::pair<c10::StorageImpl*, at::Storage>> storages_;
};
at::Tensor view_of(const at::Tensor& t);

// New device memory with the CPU tensor's numbers and strides.
at::Tensor to_device(const at::Tensor& cpu, c10::DeviceIndex index);

[[noreturn]] void refuse(std::string_view op, const std::string& why);

// What CUDA's kernels refuse and the CPU's take (rules.cpp). `arguments` are those of the call.
void check_operator(const c10::OperatorHandle& op);
void check_dtypes(const c10::FunctionSchema& schema, c10::ArrayRef<c10::IValue> arguments);
// Whether CUDA takes a CPU scalar (no dimensions) as this argument.
bool takes_cpu_scalar(const std::string& op, const std::string& argument);
// Whether the host waits for the result's size or value.
bool makes_host_wait(const std::string& op);
// Launches that CUDA needs for the call.
std::uint64_t launches_of(const std::string& op, c10::ArrayRef<c10::IValue> arguments);

// Any operator that has no kernel here.
void run_on_cpu(const c10::OperatorHandle& op, torch::jit::Stack* stack);

}  // namespace fake_cuda
