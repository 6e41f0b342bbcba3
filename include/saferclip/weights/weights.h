// Weights of a CLIP or SigLIP from a folder or file: Hugging Face and open_clip folders, bare files
// with OpenAI's or Hugging Face's names (safetensors, PyTorch checkpoints, TorchScript archives),
// PEFT adapters on any of them, or random initialisation. Nothing is loaded partially.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <future>
#include <string>
#include <vector>

#include "saferclip/core/preprocessing.h"
#include "saferclip/model/clip_model.h"
#include "saferclip/model/model_options.h"

namespace saferclip {

enum class WeightsLayout { kHuggingFace, kOpenAi, kOpenClip, kRandom };
// "Hugging Face folder", for people.
std::string to_string(WeightsLayout layout);

// A source that has been checked against its own geometry: every tensor is there, none is left
// over, all shapes fit. Tensor data have not been read yet.
struct WeightsSource {
  std::filesystem::path path;                // the folder, or the file when it stands alone
  std::vector<std::filesystem::path> files;  // of tensors: those that are read and hashed
  WeightsLayout layout = WeightsLayout::kHuggingFace;
  ClipGeometry geometry;
  Preprocessing preprocessing;
  TextSpec text;
  std::filesystem::path tokenizer_folder;  // with tokenizer files; empty: CLIP's vocabulary
  std::vector<std::string> notes;  // what a user should know ("no preprocessor_config.json …")
  // The tensor with this canonical (Hugging Face) name, in its file dtype and canonical shape.
  std::function<at::Tensor(const std::string&)> tensor;
  // Gives back the memory of file pages that were read; empty: there are none.
  std::function<void()> release_pages;
  // A thread works it out from the opening on: reading a large file takes about as long as loading
  // it.
  std::shared_future<std::string> later_hash;

  // SHA-256 of the tensor file (or over all of them), of architecture and seed. Throws DataError
  // when the file cannot be read any more.
  const std::string& hash() const { return later_hash.get(); }
  // "OpenAI ViT-B/32": the file is the published one, by its SHA-256; else empty.
  std::string published_as() const;
};

// Opens and checks `options.weights`, or makes random weights when `options.init` is set.
// Throws WeightsError that lists every missing, extra or misshapen tensor, and ConfigError when the
// activation has to be named and was not.
WeightsSource open_weights(const ModelOptions& options, std::uint64_t seed);

// Copies everything into a model, converted tensor by tensor: `matmul_dtype` as for allocate_clip.
// Throws WeightsError when a tensor holds NaN or infinity.
ClipModel load_clip(const WeightsSource& source, at::ScalarType matmul_dtype = at::kFloat,
                    at::Device device = at::kCPU);

// SHA-256 over all tensors of a model in canonical order: equal before and after a run for a frozen
// reference.
std::string model_hash(ClipModel& model);

}  // namespace saferclip
