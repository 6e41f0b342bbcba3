// Exports converted or tuned weights as folders that other tools read.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "saferclip/core/log.h"
#include "saferclip/run/run_reference.h"
#include "saferclip/run/session.h"

namespace saferclip {

struct ExportForm {
  std::string to;              // hf, open_clip, openai or peft
  std::filesystem::path out;   // the folder
  std::string dtype = "fp32";  // fp32, fp16 or bf16
  std::string tower = "both";  // both, text or vision
  std::string timm_model;      // open_clip: timm's name of SigLIP's vision tower
  double strength = 1;         // W0 + s (W - W0)
};

// Writes the session's weights unchanged. Throws ConfigError if the form only applies to runs.
void export_base(const Session& session, const ExportForm& form, Logger& log);

struct ExportedRun {
  std::int64_t step = 0;
  std::optional<std::int64_t> better_step;  // the best step, if it is not this one
  std::string best_metric;
};

// Writes a checkpoint of a run: merged weights, or the adapter alone (peft). Throws WeightsError,
// ConfigError, and Error if the folder cannot be written.
ExportedRun export_run(const RunReference& run, const std::filesystem::path& checkpoint,
                       const Session& session, const ExportForm& form, Logger& log);

}  // namespace saferclip
