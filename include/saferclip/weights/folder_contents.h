// What a folder of weights holds besides its tokenizer and its card, in the layout that is asked
// for. It is made whole before anything is written, so that a request that a layout cannot carry
// leaves nothing behind.
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

enum class ExportedTower { kBoth, kText, kVision };
// Whether a tensor with this canonical name goes along.
bool is_of_tower(const std::string& name, ExportedTower tower);

enum class TensorFormat { kSafetensors, kTorch };

struct FolderContents {
  std::string tensor_file;  // its name
  TensorFormat format = TensorFormat::kSafetensors;
  std::vector<NamedTensor> tensors;
  std::map<std::string, std::string> metadata;             // safetensors alone
  std::vector<std::pair<std::string, std::string>> texts;  // configurations: file name and content
  std::vector<std::string> notes;  // what the client will compute otherwise than these weights
};

struct ModelRequest {
  ClipModel& model;             // merged fp32 weights
  const WeightsSource& source;  // what they were read from: geometry, preprocessing, captions
  const Tokenizer& tokenizer;   // that stands beside them
  at::ScalarType dtype = at::kFloat;
  ExportedTower tower = ExportedTower::kBoth;
  std::string timm_model;  // open_clip: SigLIP's vision tower, when it is none of timm's own
};

// The layout by the word of `export --to`: hf, open_clip, openai. Throws ConfigError for another.
WeightsLayout layout_named(const std::string& word);

// A model in a layout:
//   hf: config.json, model.safetensors with canonical names, preprocessor_config.json. One tower
//     alone becomes a CLIPTextModelWithProjection or CLIPVisionModelWithProjection, which
//     CLIPTextModel and CLIPVisionModel read too; of a SigLIP a SiglipTextModel or
//     SiglipVisionModel.
//   open_clip: open_clip_config.json and open_clip_model.safetensors, for `local-dir:`.
//   openai: OpenAI's names in torch.save's form, model.pt (a plain state_dict; torch.load with
//     weights_only reads it, so do `clip.load` and open_clip's `pretrained`), with open_clip's
//     configuration beside it.
// Throws ConfigError when the layout cannot carry what is asked for.
FolderContents model_contents(WeightsLayout layout, const ModelRequest& request);

// Writes all files into a folder that is there.
void write_contents(const std::filesystem::path& folder, const FolderContents& contents);

}  // namespace saferclip
