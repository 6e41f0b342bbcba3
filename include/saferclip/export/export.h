// Writes folders that other tools read as they are: weights in a layout, the tokenizer, a model
// card.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "saferclip/core/enum_words.h"
#include "saferclip/model/clip_model.h"
#include "saferclip/text/tokenizer.h"
#include "saferclip/weights/folder_contents.h"
#include "saferclip/weights/peft.h"
#include "saferclip/weights/weights.h"

namespace saferclip {

// What an export is for; the words of `export --to`.
enum class ExportTarget { kHuggingFace, kOpenClip, kOpenAi, kPeft, kOnnx };
constexpr auto enum_words(ExportTarget) {
  return std::to_array<EnumWord<ExportTarget>>({{ExportTarget::kHuggingFace, "hf"},
                                                {ExportTarget::kOpenClip, "open_clip"},
                                                {ExportTarget::kOpenAi, "openai"},
                                                {ExportTarget::kPeft, "peft"},
                                                {ExportTarget::kOnnx, "onnx"}});
}

// The functions below write a complete folder or none. They throw ConfigError if `folder` exists
// and is not empty, or if the layout cannot represent the request.
struct ExportRequest {
  std::filesystem::path folder;
  at::ScalarType dtype = at::kFloat;
  Towers tower = Towers::kBoth;
  std::string model_card;  // README.md of the export
  std::string timm_model;  // open_clip only: timm's name of a SigLIP vision tower that is not one
                           // of timm's own
  // Further files of the folder: name and content.
  std::vector<std::pair<std::string, std::string>> extra_files = {};
};

// The name of the base weights in exports: a Hugging Face hub id if known (by checksum or by its
// download folder), else the name of their folder or file; never a path.
std::string base_model_name(const WeightsSource& source);

// Writes a model folder in this layout, with the tokenizer's files unless only the vision tower is
// exported. `model` holds the merged fp32 weights. The result notes what the layout's client
// computes differently from these weights, if anything.
std::vector<std::string> export_weights(const ExportRequest& request, WeightsLayout layout,
                                        ClipModel& model, const WeightsSource& source,
                                        const Tokenizer& tokenizer);

// Writes the towers as graphs for ONNX runtimes, kOnnxTextFile and kOnnxVisionFile, with
// transformers' configuration, preprocessor and tokenizer. Their outputs are not L2-normalized.
// fp32 or fp16; the inputs and outputs are fp32 either way.
inline constexpr const char* kOnnxTextFile = "text_model.onnx";
inline constexpr const char* kOnnxVisionFile = "vision_model.onnx";
void export_onnx(const ExportRequest& request, ClipModel& model, const WeightsSource& source,
                 const Tokenizer& tokenizer);

// Writes a PEFT adapter folder: the change that `trained`, a checkpoint's tensors, makes, times
// `strength`.
struct TrainedAdapter {
  const std::vector<NamedTensor>& trained;
  const ModelOptions& model;
  const AdapterOptions& adapter;
  double strength = 1;
};
void export_peft(const ExportRequest& request, const TrainedAdapter& adapter,
                 const WeightsSource& source);

}  // namespace saferclip
