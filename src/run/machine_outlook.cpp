// The estimate of a step is its arithmetic at the rate of one large product in a loop, divided by
// the share of a step's time that large products take (docs/lab/performance.md). Adapters, norms,
// losses and the optimizer are in the rest, and so is everything that a GPU does between kernels.
#include "saferclip/run/machine_outlook.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <chrono>

#include "run/process_check.h"
#include "saferclip/core/error.h"
#include "saferclip/core/matmul.h"
#include "saferclip/core/text_format.h"
#include "saferclip/nn/precision.h"
#include "saferclip/run/training_fit.h"

namespace saferclip {
namespace {

constexpr double kShareOfProducts = 0.78;  // of a step, measured on three models

struct KnownModel {
  const char* name;
  std::int64_t patch, width, layers, text_width, embed_dim;
};
constexpr std::array<KnownModel, 3> kKnownModels{{{"ViT-B/32", 32, 768, 12, 512, 512},
                                                  {"ViT-B/16", 16, 768, 12, 512, 512},
                                                  {"ViT-L/14", 14, 1024, 24, 768, 768}}};

// OpenAI's models have heads of 64 and MLPs of four widths.
TowerGeometry known_tower(std::int64_t width, std::int64_t layers) {
  return {width, layers, width / 64, 4 * width, Activation::kQuickGelu};
}

ClipGeometry known_geometry(const KnownModel& model) {
  ClipGeometry geometry;
  geometry.text = known_tower(model.text_width, 12);
  geometry.vision = known_tower(model.width, model.layers);
  geometry.embed_dim = model.embed_dim;
  geometry.patch_size = model.patch;
  return geometry;
}

// FLOPs of one item's forward and backward pass. Of the last block's output projection and MLP only
// the pooled token's are computed. Attention has four products backward for its two forward.
double tower_flops(const TowerGeometry& tower, std::int64_t tokens, double passes) {
  const auto width = static_cast<double>(tower.width), mlp = static_cast<double>(tower.mlp_width);
  const auto length = static_cast<double>(tokens), layers = static_cast<double>(tower.layers);
  const double projections = 2 * length * 3 * width * width * layers;
  const double rest = (2 * width * width + 4 * width * mlp) * (length * (layers - 1) + 1);
  const double attention = 4 * length * length * width * layers;
  return passes * (projections + rest) + 3 * attention;
}

// FLOPs a second of a ViT-B layer's product. The first round also sets up, and counts only if it is
// so slow that there is no time for others.
double measured_rate(at::Device device, Precision precision) {
  constexpr std::int64_t kIn = 768, kOut = 3072;
  constexpr double kSeconds = 0.5;
  const std::int64_t rows = device.is_cuda() ? 4800 : 200;
  const int rounds = device.is_cuda() ? 20 : 1;  // before the device is waited for
  const at::ScalarType dtype = precision == Precision::kBf16   ? at::kBFloat16
                               : precision == Precision::kFp16 ? at::kHalf
                                                               : at::kFloat;
  const at::NoGradGuard no_grad;
  const auto options = at::TensorOptions(device).dtype(dtype);
  const at::Tensor x = at::ones({rows, kIn}, options);
  const at::Tensor weight = at::ones({kOut, kIn}, options);
  const at::Tensor packed = packed_weight(weight, rows);
  const auto seconds_since = [](std::chrono::steady_clock::time_point began) {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  };
  const auto products = [&] {
    at::Tensor y;
    for (int i = 0; i < rounds; ++i) y = linear_product(x, packed.defined() ? packed : weight);
    return y.flatten()[0].item<float>();  // waits for the device
  };
  const auto start = std::chrono::steady_clock::now();
  products();
  const double first = seconds_since(start);
  const auto began = std::chrono::steady_clock::now();
  double count = 0, seconds = 0;
  while (first + seconds + std::max(first, seconds / std::max(count, 1.0)) < kSeconds) {
    products();
    ++count;
    seconds = seconds_since(began);
  }
  const double work = 2.0 * static_cast<double>(rounds * rows * kIn * kOut);
  return count > 0 ? count * work / seconds : work / first;
}

TrainingOutlook training_outlook(const KnownModel& model, bool trains_all, Precision precision,
                                 at::Device device, double rate) {
  FitRequest request{known_geometry(model), {}, kOutlookRows, true, precision};
  if (trains_all) request.adapter.method = AdapterMethod::kFull;
  TrainingOutlook outlook{model.name, trains_all ? "all weights" : "LoRA", 0, {}};
  const std::uint64_t available = available_bytes(device);
  for (const std::int64_t rows :
       {std::int64_t{1}, std::int64_t{4}, std::int64_t{16}, kOutlookRows}) {
    request.rows = rows;
    if (available == 0 || usual_bytes(request, device) <= available) outlook.micro_batch = rows;
  }
  if (outlook.micro_batch > 0) {
    outlook.seconds = step_flops(request.geometry, trains_all) / rate / kShareOfProducts;
  }
  return outlook;
}

MachineOutlook outlook_on(at::Device device) {
  const Precision precision = has_fast_bf16(device) ? Precision::kBf16
                              : device.is_cuda()    ? Precision::kFp16
                                                    : Precision::kFp32;
  const double rate = measured_rate(device, precision);
  MachineOutlook outlook;
  for (const KnownModel& model : kKnownModels) {
    for (const bool trains_all : {false, true}) {
      outlook.trainings.push_back(training_outlook(model, trains_all, precision, device, rate));
    }
  }
  const std::uint64_t memory = available_bytes(device);
  outlook.finding = {"training", outlook.trainings.front().micro_batch > 0 ? "ok" : "warn",
                     cat("estimated: ", precision, " at ", fixed(rate / 1e9, 0), " GFLOP/s, ",
                         memory > 0 ? human_bytes(memory) + " of memory" : "memory unknown")};
  return outlook;
}

}  // namespace

double step_flops(const ClipGeometry& geometry, bool trains_all) {
  FitRequest request{geometry, {}, kOutlookRows, true, Precision::kFp32};
  const MemoryPlan plan = usual_plan(request, at::kCPU);
  const double passes = trains_all ? 3 : 2;  // forward, input gradients, weight gradients
  const auto side = static_cast<double>(geometry.patch_size);
  const double patches = passes * 2 * static_cast<double>(geometry.grid() * geometry.grid()) * 3 *
                         side * side * static_cast<double>(geometry.vision.width);
  const double picture = patches + tower_flops(geometry.vision, geometry.positions(), passes);
  const double caption = tower_flops(geometry.text, plan.tokens, passes);
  return static_cast<double>(plan.pictures) * picture +
         static_cast<double>(plan.captions) * caption;
}

MachineOutlook machine_outlook(const ComputeOptions& compute) {
  try {
    const ComputeOptions own = as_launched(compute);
    return outlook_on(parse_device(own.device, own.local_rank));
  } catch (const Error& problem) {
    return {{"training", "warn", cat("not estimated: ", problem.what())}, {}};
  } catch (const c10::Error& problem) {
    return {{"training", "warn", cat("not estimated: ", problem.what_without_backtrace())}, {}};
  }
}

}  // namespace saferclip
