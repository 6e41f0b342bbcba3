// Weights of a CLIP from a folder or file: Hugging Face folders, open_clip folders, OpenAI-layout
// safetensors files, or random initialisation. Nothing is loaded partially.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "saferclip/io/safetensors.h"
#include "saferclip/model/clip_model.h"
#include "saferclip/model/model_options.h"

namespace saferclip {

enum class WeightsLayout { kHuggingFace, kOpenAi, kOpenClip, kRandom };
std::string to_string(WeightsLayout layout);

// A source that has been checked against its own geometry: every tensor is there, none is left
// over, all shapes fit. Tensor data have not been read yet.
struct WeightsSource {
  std::filesystem::path path;
  WeightsLayout layout = WeightsLayout::kHuggingFace;
  ClipGeometry geometry;
  Preprocessing preprocessing;
  TextSpec text;
  std::string hash;  // SHA-256 over the tensor files, or of architecture and seed
  std::filesystem::path
      tokenizer_folder;            // with vocab.json and merges.txt; empty: CLIP's vocabulary
  std::vector<std::string> notes;  // what a user should know ("no preprocessor_config.json …")
  // The tensor with this canonical (Hugging Face) name, in its file dtype and canonical shape.
  std::function<at::Tensor(const std::string&)> tensor;
};

// Opens and checks `options.weights`, or makes random weights when `options.init` is set.
// Throws WeightsError that lists every missing, extra or misshapen tensor, and ConfigError when the
// activation has to be named and was not.
WeightsSource open_weights(const ModelOptions& options, std::uint64_t seed);

// Copies everything into a model. Throws WeightsError when a tensor holds NaN or infinity.
ClipModel load_clip(const WeightsSource& source, at::ScalarType dtype = at::kFloat,
                    at::Device device = at::kCPU);

// SHA-256 over all tensors of a model in canonical order: equal before and after a run for a frozen
// reference.
std::string model_hash(ClipModel& model);

// The Hugging Face configuration of a geometry (the `config.json` of an export).
std::string hugging_face_config(const ClipGeometry& geometry, const TextSpec& text);
// The `preprocessor_config.json` of an export.
std::string hugging_face_preprocessor(const Preprocessing& preprocessing);

}  // namespace saferclip
