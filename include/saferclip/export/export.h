// Folders that other tools read as they are.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "saferclip/io/safetensors.h"
#include "saferclip/model/clip_model.h"
#include "saferclip/model/model_options.h"
#include "saferclip/model/weights.h"
#include "saferclip/text/tokenizer.h"

namespace saferclip {

struct ExportRequest {
  std::filesystem::path folder;  // must not exist, or be empty
  at::ScalarType dtype = at::kFloat;
  std::string model_card;  // README.md of the export
};

// A transformers folder: config.json, model.safetensors (canonical names), tokenizer and
// preprocessor files. `model` holds the merged fp32 weights. Throws ConfigError when the folder is
// not empty.
void export_hugging_face(const ExportRequest& request, ClipModel& model,
                         const WeightsSource& source, const Tokenizer& tokenizer);

// A PEFT adapter folder: adapter_config.json and adapter_model.safetensors. `trained` are a
// checkpoint's tensors. Throws ConfigError for a full fine-tuning and for a trained logit scale,
// which an adapter cannot carry.
void export_peft(const ExportRequest& request, const std::vector<NamedTensor>& trained,
                 const ModelOptions& model, const AdapterOptions& adapter,
                 const WeightsSource& source);

}  // namespace saferclip
