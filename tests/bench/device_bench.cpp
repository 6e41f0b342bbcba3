// What scripts/gpu_check measures of a device besides whole runs, as JSON. It needs no CUDA headers
// and runs on the CPU too.
//   device_bench batch WEIGHTS ROWS LONGEST OUT.safetensors     a batch with random content
//   device_bench step WEIGHTS BATCH.safetensors lora|full bf16|fp32 DEVICE WINDOWS STEPS
//     seconds a step (each window: STEPS steps, then the host waits), losses, peak memory, FLOPs of
//     a step, the rate of its products alone, and the kernels that take longest
//   device_bench parity WEIGHTS ROWS lora|full DEVICE           every block beside the CPU's
// Exit 6: out of memory.
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <nlohmann/json.hpp>

#include "bench/bench_step.h"
#include "bench/longest_kernels.h"
#include "bench/step_work.h"
#include "gpu/layer_parity.h"
#include "saferclip/core/error.h"
#include "saferclip/core/matmul.h"
#include "saferclip/core/memory.h"
#include "saferclip/nn/cuda_card.h"
#include "saferclip/nn/precision.h"
#include "saferclip/weights/weights.h"

namespace saferclip {
namespace {

using Json = nlohmann::json;
using Clock = std::chrono::steady_clock;

constexpr std::size_t kLongest = 10;
constexpr double kRateSeconds = 0.02;  // of each product

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

WeightsSource source_of(const std::string& weights) {
  ModelOptions options;
  options.weights = weights;
  return open_weights(options, 0);
}

// Seconds of one product, by the library that the step uses, over operands that are not cached.
double seconds_of(const LayerProduct& p, at::ScalarType compute, at::Device device) {
  const auto options = at::TensorOptions().dtype(compute).device(device);
  const at::Tensor x = at::randn({p.rows, p.inputs}, options);
  const at::Tensor dy = at::randn({p.rows, p.outputs}, options);
  const at::Tensor weight = at::randn({p.outputs, p.inputs}, options);
  const auto repeat = [&](int times) {
    const auto begin = Clock::now();
    at::Tensor result;
    for (int i = 0; i < times; ++i) {
      result = p.kind == ProductKind::kForward         ? linear_product(x, weight)
               : p.kind == ProductKind::kInputGradient ? product(dy, weight)
                                                       : product(dy.t(), x);
    }
    result.view({-1})[0].item<double>();  // waits for the device
    return seconds_since(begin);
  };
  repeat(2);
  const int times = std::clamp(static_cast<int>(kRateSeconds / (repeat(3) / 3)), 3, 200);
  return repeat(times) / times;
}

// FLOPs a second of the step's products, each in a loop by itself.
double product_rate(const StepWork& work, at::ScalarType compute, at::Device device) {
  const at::NoGradGuard guard;
  double seconds = 0;
  for (const LayerProduct& product : work.products) {
    seconds += seconds_of(product, compute, device) * static_cast<double>(product.count);
  }
  return work.product_flops() / seconds;
}

Json time_steps(BenchStep& step, int windows, int steps) {
  Json seconds = Json::array();
  Json losses = Json::array();
  for (int window = 0; window < windows; ++window) {
    const auto begin = Clock::now();
    std::vector<at::Tensor> of_window;
    for (int i = 0; i < steps; ++i) of_window.push_back(step.run().loss);
    for (const at::Tensor& loss : of_window) losses.push_back(loss.item<double>());
    seconds.push_back(seconds_since(begin) / steps);
  }
  return {{"seconds", seconds}, {"losses", losses}};
}

Json longest_kernels(BenchStep& step, int steps) {
  const Profile found = profile(
      [&] {
        at::Tensor loss;
        for (int i = 0; i < steps; ++i) loss = step.run().loss;
        loss.item<double>();
      },
      kLongest);
  Json rows = Json::array();
  for (const KernelTime& kernel : found.longest) {
    rows.push_back({{"name", kernel.name},
                    {"seconds_a_step", kernel.seconds / steps},
                    {"calls_a_step", static_cast<double>(kernel.calls) / steps},
                    {"share", kernel.seconds / found.seconds}});
  }
  return {{"of", found.has_kernels ? "kernels" : "operators on the host"}, {"longest", rows}};
}

int run_step(char** argv) {
  const at::Device device = parse_device(argv[6]);
  const at::ScalarType compute = bench_precision(argv[5]);
  AdapterOptions adapter;
  adapter.method = bench_method(argv[4]);
  keep_freed_memory();
  BenchStep step(argv[2], read_bench_batch(argv[3]), adapter.method, compute, device);
  Json out = time_steps(step, std::atoi(argv[7]), std::atoi(argv[8]));
  out["peak_bytes"] = device_peak_bytes(device);
  const auto rows = 2 * static_cast<std::int64_t>(step.batch().rows.size());
  const StepWork work =
      step_work(step.geometry(), adapter, rows, rows, step.batch().safe_ids.size(1));
  out["flops"] = work.flops();
  out["flops_of"] = {{"products", work.product_flops()},
                     {"adapters", work.adapters},
                     {"attention", work.attention}};
  out["profile"] = longest_kernels(step, std::min(3, std::atoi(argv[8])));
  out["rate"] = product_rate(work, compute, device);
  std::cout << out << '\n';
  return 0;
}

int run_batch(char** argv) {
  write_bench_batch(argv[5], source_of(argv[2]).geometry, std::atoll(argv[3]), std::atoll(argv[4]));
  return 0;
}

int run_parity(char** argv) {
  const auto rows = layer_parity(source_of(argv[2]), std::atoll(argv[3]), bench_method(argv[4]),
                                 parse_device(argv[5]),
                                 multiplies_bf16_fast() ? CpuBf16::kMeasure : CpuBf16::kSkip);
  Json out = Json::array();
  for (const ParityRow& row : rows) {
    out.push_back({{"part", row.part},
                   {"fp32", row.fp32},
                   {"bf16", row.bf16},
                   {"fp32_bound", row.fp32_bound()},
                   {"bf16_bound", row.bf16_bound()}});
    if (row.cpu_bf16) out.back()["cpu_bf16"] = *row.cpu_bf16;
  }
  std::cout << out << '\n';
  return 0;
}

int run(int argc, char** argv) {
  const std::string word = argc > 1 ? argv[1] : "";
  if (word == "batch" && argc == 6) return run_batch(argv);
  if (word == "step" && argc == 9) return run_step(argv);
  if (word == "parity" && argc == 6) return run_parity(argv);
  std::cerr << "device_bench batch|step|parity …: see the head of device_bench.cpp\n";
  return 2;
}

}  // namespace
}  // namespace saferclip

int main(int argc, char** argv) {
  try {
    return saferclip::run(argc, argv);
  } catch (const c10::OutOfMemoryError& problem) {
    std::cerr << problem.what_without_backtrace() << '\n';
    return saferclip::kOutOfMemory;
  } catch (const std::exception& problem) {
    std::cerr << problem.what() << '\n';
    return 1;
  }
}
