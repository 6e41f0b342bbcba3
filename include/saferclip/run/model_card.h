// Renders README.md, the model card of an export, and says how an export is loaded.
#pragma once

#include <filesystem>
#include <string>

#include "saferclip/export/export.h"
#include "saferclip/run/session.h"

namespace saferclip {

// The source and form of an export. `checkpoint` is empty for weights that were only converted.
struct CardFacts {
  std::filesystem::path checkpoint;
  std::int64_t step = 0;
  ExportTarget target = ExportTarget::kHuggingFace;
  std::string dtype;
  Towers tower = Towers::kBoth;
  double strength = 1;
};

// The Python package that loads an export: transformers, open_clip, torch, peft or onnxruntime.
std::string loading_library(ExportTarget target);

// The Python call that loads an export from the folder `path`:
// CLIPModel.from_pretrained('safe-clip'). An adapter's names its base as BASE.
// Of two ONNX graphs it loads the vision tower's.
std::string loading_call(ExportTarget target, Towers tower, const FamilyForm& form,
                         const std::string& path);

// Markdown with a Hugging Face header: how to load the export, what it was made from (base hash,
// configuration), the metrics of its step if the run measured them, and whose license applies.
std::string model_card(const Session& session, const CardFacts& facts);

}  // namespace saferclip
