// The content of a folder of weights in a given layout, without its tokenizer and model card. It is
// complete before anything is written, so a request that a layout cannot carry leaves no files
// behind.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "saferclip/core/named_tensor.h"
#include "saferclip/model/clip_model.h"
#include "saferclip/text/tokenizer.h"
#include "saferclip/weights/weights.h"

namespace saferclip {

enum class TensorFormat { kSafetensors, kTorch };

struct FolderContents {
  std::string tensor_file;  // its name
  TensorFormat format = TensorFormat::kSafetensors;
  std::vector<NamedTensor> tensors;
  std::map<std::string, std::string> metadata;             // safetensors only
  std::vector<std::pair<std::string, std::string>> texts;  // configurations: file name and content
  std::vector<std::string> notes;  // where the client will compute something else
};

struct ModelRequest {
  ClipModel& model;             // merged fp32 weights
  const WeightsSource& source;  // their origin: geometry, preprocessing, caption handling
  const Tokenizer& tokenizer;   // the one saved with them
  at::ScalarType dtype = at::kFloat;
  Towers tower = Towers::kBoth;
  std::string timm_model;  // open_clip: SigLIP's vision tower, when timm has none like it
};

// A model in a layout:
//   hf: config.json, model.safetensors with canonical names, preprocessor_config.json. One tower
//     alone becomes a CLIPTextModelWithProjection or CLIPVisionModelWithProjection, which
//     CLIPTextModel and CLIPVisionModel read too; of a SigLIP a SiglipTextModel or
//     SiglipVisionModel.
//   open_clip: open_clip_config.json and open_clip_model.safetensors, for `local-dir:`.
//   openai: OpenAI's names in torch.save's format, model.pt (a plain state_dict; torch.load with
//     weights_only reads it, so do `clip.load` and open_clip's `pretrained`), with open_clip's
//     configuration beside it.
// Throws ConfigError when the layout cannot carry the request.
FolderContents model_contents(WeightsLayout layout, const ModelRequest& request);

// The texts of a transformers folder: config.json, and preprocessor_config.json unless only the
// text tower is requested.
std::vector<std::pair<std::string, std::string>> transformers_settings(const ModelRequest& request);

// Writes all files into an existing folder.
void write_contents(const std::filesystem::path& folder, const FolderContents& contents);

}  // namespace saferclip
