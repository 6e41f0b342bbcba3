// Weights of a CLIP or SigLIP from a folder or file: Hugging Face and open_clip folders, bare files
// with OpenAI's or Hugging Face's names (safetensors, PyTorch checkpoints, TorchScript archives),
// PEFT adapters on any of them, or random initialization. Nothing is loaded partially.
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

// A source that has been checked against its own geometry: no tensor is missing or left over, all
// shapes fit. No tensor data has been read yet.
struct WeightsSource {
  std::filesystem::path path;                // the folder, or the file when it stands alone
  std::vector<std::filesystem::path> files;  // tensor files, which are read and hashed
  WeightsLayout layout = WeightsLayout::kHuggingFace;
  ClipGeometry geometry;
  Preprocessing preprocessing;
  TextSpec text;
  std::filesystem::path tokenizer_folder;  // with tokenizer files; empty: CLIP's vocabulary
  std::vector<std::string> notes;          // for the user ("no preprocessor_config.json …")
  // The tensor with this canonical (Hugging Face) name, in its file dtype and canonical shape.
  std::function<at::Tensor(const std::string&)> tensor;
  // Releases the memory of file pages that were read; empty: nothing to release.
  std::function<void()> release_pages;
  // Computed by a thread that starts on opening: hashing a large file takes about as long as
  // loading it.
  std::shared_future<std::string> later_hash;

  // SHA-256 of the tensor file or files; for random weights, of architecture and seed. A merged
  // adapter is hashed too. Throws DataError when a file can no longer be read.
  const std::string& hash() const { return later_hash.get(); }
  // "OpenAI ViT-B/32" when the SHA-256 is that of the published file; else empty.
  std::string published_as() const;
};

// Opens and checks `options.weights`, or makes random weights when `options.init` is set. Throws
// WeightsError that lists every missing, extra or misshapen tensor, and ConfigError when the
// activation must be named and was not.
WeightsSource open_weights(const ModelOptions& options, std::uint64_t seed);

// Copies everything into a model, converting tensor by tensor; `matmul_dtype` as for allocate_clip.
// Throws WeightsError when a tensor holds NaN or infinity.
ClipModel load_clip(const WeightsSource& source, at::ScalarType matmul_dtype = at::kFloat,
                    at::Device device = at::kCPU);

// SHA-256 over all tensors of a model in canonical order: equal before and after a run for a frozen
// reference.
std::string model_hash(ClipModel& model);

}  // namespace saferclip
