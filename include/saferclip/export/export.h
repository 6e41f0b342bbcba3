// Folders that other tools read as they are: weights in a layout, the tokenizer, a card.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <string>
#include <vector>

#include "saferclip/model/clip_model.h"
#include "saferclip/text/tokenizer.h"
#include "saferclip/weights/folder_contents.h"
#include "saferclip/weights/peft.h"
#include "saferclip/weights/weights.h"

namespace saferclip {

// The functions below write a whole folder or none, and throw ConfigError when `folder` exists and
// is not empty, or when the request is one that the layout cannot carry.
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

// A model folder in this layout, with the files of the tokenizer unless the vision tower goes
// alone. `model` holds the merged fp32 weights. The result says what the layout's client will
// compute otherwise than these weights, if anything.
std::vector<std::string> export_weights(const ExportRequest& request, WeightsLayout layout,
                                        ClipModel& model, const WeightsSource& source,
                                        const Tokenizer& tokenizer);

// A PEFT adapter folder: what `trained`, a checkpoint's tensors, changed, times `strength`.
struct TrainedAdapter {
  const std::vector<NamedTensor>& trained;
  const ModelOptions& model;
  const AdapterOptions& adapter;
  double strength = 1;
};
void export_peft(const ExportRequest& request, const TrainedAdapter& adapter,
                 const WeightsSource& source);

}  // namespace saferclip
