// Folders that other tools read as they are.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "saferclip/io/safetensors.h"
#include "saferclip/model/clip_model.h"
#include "saferclip/model/model_options.h"
#include "saferclip/weights/weights.h"
#include "saferclip/text/tokenizer.h"

namespace saferclip {

enum class ExportedTower { kBoth, kText, kVision };

// Every function below writes a whole folder or none, and throws ConfigError when `folder` exists
// and is not empty, or when the request is one that the format cannot carry.
struct ExportRequest {
  std::filesystem::path folder;
  at::ScalarType dtype = at::kFloat;
  ExportedTower tower = ExportedTower::kBoth;
  std::string model_card;  // README.md of the export
  std::string timm_model;  // open_clip only: SigLIP's vision tower, when it is none of timm's own
};

// What the exports call the base weights: an id of the Hugging Face hub where one is known (by
// checksum, or by the folder of its download), else the name of their folder or file; never a path.
std::string base_model_name(const WeightsSource& source);

// A transformers folder: config.json, model.safetensors (canonical names), tokenizer and
// preprocessor files. `model` holds the merged fp32 weights. One tower alone becomes a
// CLIPTextModelWithProjection or CLIPVisionModelWithProjection, which CLIPTextModel and
// CLIPVisionModel read too; of a SigLIP a SiglipTextModel or SiglipVisionModel.
void export_hugging_face(const ExportRequest& request, ClipModel& model,
                         const WeightsSource& source, const Tokenizer& tokenizer);

// An open_clip folder for `local-dir:`: open_clip_config.json, open_clip_model.safetensors and
// tokenizer files. The result says what open_clip will compute otherwise than these weights, if
// anything.
std::vector<std::string> export_open_clip(const ExportRequest& request, ClipModel& model,
                                          const WeightsSource& source, const Tokenizer& tokenizer);

// OpenAI's names in torch.save's form: model.pt (a plain state_dict; torch.load with weights_only
// reads it, so do `clip.load` and open_clip's `pretrained`), with open_clip's configuration and the
// tokenizer files beside it. ConfigError for SigLIP, which OpenAI's names do not cover.
void export_openai(const ExportRequest& request, ClipModel& model, const WeightsSource& source,
                   const Tokenizer& tokenizer);

// A PEFT adapter folder: adapter_config.json and adapter_model.safetensors. `trained` are a
// checkpoint's tensors; `strength` scales what they change. Throws ConfigError for a full
// fine-tuning, a trained logit scale and a base that an adapter was merged into: an adapter cannot
// carry them.
void export_peft(const ExportRequest& request, const std::vector<NamedTensor>& trained,
                 const ModelOptions& model, const AdapterOptions& adapter,
                 const WeightsSource& source, double strength = 1);

}  // namespace saferclip
