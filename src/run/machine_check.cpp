// The checks of `doctor`. Each returns a finding instead of throwing, so one failure does not hide
// the others. Matrix products are timed because nothing else reveals a slow BLAS loaded ahead of
// LibTorch's; a low rate is a warning only, because a busy machine looks the same.
#include "saferclip/run/machine_check.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/headeronly/version.h>

#include <chrono>
#include <filesystem>

#include "run/process_check.h"
#include "saferclip/core/cpu.h"
#include "saferclip/core/error.h"
#include "saferclip/core/hash.h"
#include "saferclip/core/text_format.h"
#include "saferclip/nn/cuda_card.h"
#include "saferclip/nn/precision.h"
#include "saferclip/weights/published_files.h"

namespace saferclip {
namespace {

// The rate of a square matrix product, which reveals a wrong BLAS loaded ahead of LibTorch's.
double gemm_gflops(at::ScalarType dtype) {
  constexpr std::int64_t kSize = 1024;
  const at::Tensor a = at::rand({kSize, kSize}).to(dtype);
  at::mm(a, a);
  const auto began = std::chrono::steady_clock::now();
  constexpr int kRounds = 4;
  for (int i = 0; i < kRounds; ++i) at::mm(a, a);
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  return 2.0 * kRounds * kSize * kSize * kSize / seconds / 1e9;
}

MachineFinding check_card(at::Device device) {
  const std::string text = describe_card(device);
  if (has_fast_bf16(device)) return {"device", "ok", text};
  return {
      "device", "warn",
      cat(text, "; ", why_no_bf16(device), ": it trains in fp32, or in fp16 (train.precision)")};
}

MachineFinding check_device(const ComputeOptions& compute) {
  try {
    const at::Device device = parse_device(compute.device, compute.local_rank);
    if (device.is_cpu()) {
      const bool is_choice = compute.device != "auto";
      return {"device", is_choice ? "ok" : "warn",
              is_choice ? "cpu" : cat("cpu, where training is slow: ", why_no_cuda())};
    }
    return check_card(device);
  } catch (const Error& problem) {
    return {"device", "fail", problem.what()};
  }
}

MachineFinding check_vocabulary() {
  try {
    return {"vocabulary", "ok", clip_vocabulary_path().string()};
  } catch (const Error& problem) {
    return {"vocabulary", "fail", problem.what()};
  }
}

// Tells a file that OpenAI published from one that only has its name.
MachineFinding check_weights(const std::string& path) {
  try {
    const std::string sha256 = sha256_file(path);
    const std::string published = published_name(sha256);
    if (!published.empty()) {
      return {"weights", "ok", cat(path, ": ", published, " as published (SHA-256 matches)")};
    }
    const std::string expected = published_hash(std::filesystem::path(path).filename().string());
    if (!expected.empty()) {
      return {"weights", "fail",
              cat(path, ": has the name of a file that OpenAI published with SHA-256 ", expected,
                  ", but its SHA-256 is ", sha256, "; download it again, or rename your file")};
    }
    return {"weights", "ok", cat(path, ": SHA-256 ", sha256, ", not one of OpenAI's files")};
  } catch (const Error& problem) {
    return {"weights", "fail", problem.what()};
  }
}

}  // namespace

std::vector<MachineFinding> check_machine(const ComputeOptions& compute,
                                          const std::vector<std::string>& files) {
  std::vector<MachineFinding> findings;
  findings.push_back(
      {"build", "ok", cat("saferclip ", SAFERCLIP_VERSION, ", LibTorch ", TORCH_VERSION)});
  const ComputeOptions own = as_launched(compute);
  findings.push_back(check_device(own));
  findings.push_back(check_processes(own));
  const bool has_bf16 = has_fast_bf16(at::kCPU);
  findings.push_back(
      {"cpu", has_bf16 ? "ok" : "warn",
       cat(cpu_features(), has_bf16 ? "" : "; no fast bf16: CPU runs train in fp32")});
  findings.push_back({"threads", "ok", std::to_string(at::get_num_threads())});
  const double fp32 = gemm_gflops(at::kFloat);
  findings.push_back(
      {"fp32 products", fp32 < 10 ? "warn" : "ok",
       cat(fixed(fp32, 0), " GFLOP/s",
           fp32 < 10 ? "; another BLAS may be loaded before LibTorch's, or the machine is busy"
                     : "")});
  if (has_bf16)
    findings.push_back(
        {"bf16 products", "ok", cat(fixed(gemm_gflops(at::kBFloat16), 0), " GFLOP/s")});
  std::error_code error;
  const auto space = std::filesystem::space(".", error);
  const bool is_low = !error && space.available < (std::uintmax_t{5} << 30);
  findings.push_back(
      {"disk",
       error    ? "fail"
       : is_low ? "warn"
                : "ok",
       error ? error.message()
             : cat(human_bytes(space.available), " free here", is_low ? "; free some space" : "")});
  findings.push_back(check_vocabulary());
  for (const std::string& file : files) findings.push_back(check_weights(file));
  return findings;
}

}  // namespace saferclip
