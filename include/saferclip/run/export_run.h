// Exports converted or tuned weights as folders that other tools read.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "saferclip/core/enum_words.h"
#include "saferclip/core/log.h"
#include "saferclip/export/export.h"
#include "saferclip/run/run_reference.h"
#include "saferclip/run/session.h"
#include "saferclip/weights/weights.h"

namespace saferclip {

enum class ExportDtype { kFp32, kFp16, kBf16 };
constexpr auto enum_words(ExportDtype) {
  return std::to_array<EnumWord<ExportDtype>>(
      {{ExportDtype::kFp32, "fp32"}, {ExportDtype::kFp16, "fp16"}, {ExportDtype::kBf16, "bf16"}});
}

struct ExportForm {
  ExportTarget target = ExportTarget::kHuggingFace;
  std::filesystem::path out;  // the folder
  ExportDtype dtype = ExportDtype::kFp32;
  Towers tower = Towers::kBoth;
  std::string timm_model;  // open_clip: timm's name of SigLIP's vision tower
  double strength = 1;     // W0 + s (W - W0)
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
