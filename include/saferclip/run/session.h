// What every command on a configuration starts with: its weights, tokenizer and device.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "saferclip/config/run_config.h"
#include "saferclip/core/log.h"
#include "saferclip/distributed/processes.h"
#include "saferclip/text/tokenizer.h"
#include "saferclip/weights/weights.h"

namespace saferclip {

// Where to compute, as the user requested, and as one of which processes.
struct ComputeOptions {
  std::string device = "auto";  // auto, cpu, cuda, cuda:<index>
  int threads = 0;              // CPU threads; 0: LibTorch's choice
  int local_rank = 0;           // among the processes of this machine
  Processes processes;
};

// Weights, tokenizer and device of a configuration. `config` stays as written; precision_on and
// resolved_config (resume.h) give the values that take effect here.
struct Session {
  RunConfig config;
  WeightsSource source;
  std::unique_ptr<Tokenizer> tokenizer;
  at::Device device = at::kCPU;
  int local_rank = 0;
  Processes processes;
};

// Throws ConfigError, DataError (tokenizer files) and WeightsError. `log` gets warnings about the
// source and is not kept.
Session open_session(RunConfig config, const ComputeOptions& compute, Logger& log);
// The same for plain weights: all options but the model's at their defaults.
Session open_session(ModelOptions model, const ComputeOptions& compute, Logger& log);
std::unique_ptr<Tokenizer> open_tokenizer(const ModelOptions& options, const WeightsSource& source);
// CLIP's vocabulary file, installed with the program. Throws DataError that says how to get it if
// it is missing.
std::filesystem::path clip_vocabulary_path();

// The precision used on a device when `precision` is requested: fp32 where that one is slow.
Precision precision_on(at::Device device, Precision precision);

}  // namespace saferclip
