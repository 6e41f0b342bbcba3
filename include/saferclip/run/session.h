// What every command on a configuration starts from: its weights, tokenizer and device.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "saferclip/config/run_config.h"
#include "saferclip/core/log.h"
#include "saferclip/text/tokenizer.h"
#include "saferclip/weights/weights.h"

namespace saferclip {

// Where to compute, as the user asks for it.
struct ComputeOptions {
  std::string device = "auto";  // auto, cpu, cuda, cuda:<index>
  int threads = 0;              // of the CPU; 0: LibTorch's choice
};

// Weights, tokenizer and device of a configuration, which stays as it was written; what its values
// come to here, precision_on and its like say.
struct Session {
  RunConfig config;
  WeightsSource source;
  std::unique_ptr<Tokenizer> tokenizer;
  at::Device device = at::kCPU;
};

// Throws ConfigError and WeightsError.
Session open_session(RunConfig config, const ComputeOptions& compute, Logger& log);
std::unique_ptr<Tokenizer> open_tokenizer(const ModelOptions& options, const WeightsSource& source);
// CLIP's vocabulary beside the program, or an explanation of how to get it (DataError).
std::filesystem::path clip_vocabulary_path();

// What `precision` (bf16, fp32) comes to on a device: fp32 where bf16 is not fast.
std::string precision_on(at::Device device, const std::string& precision);

}  // namespace saferclip
