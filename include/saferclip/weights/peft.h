// LoRA adapters: PEFT's folders (`adapter_config.json` with `adapter_model.safetensors` or `.bin`),
// read and written, and the files of kohya and diffusers for CLIP's text tower, read.
// https://huggingface.co/docs/peft
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <string>
#include <vector>

#include "saferclip/core/named_tensor.h"
#include "saferclip/model/trained.h"
#include "saferclip/weights/folder_contents.h"
#include "saferclip/weights/weights.h"

namespace saferclip {

// An adapter's change of one weight: scaling · B A, in the weight's shape.
struct LoraDelta {
  std::string module;  // canonical: Hugging Face's path of the linear layer
  at::Tensor a;        // [r, I]; a convolution's kernel is flattened
  at::Tensor b;        // [O, r]
  double scaling = 1;
  bool is_transposed = false;  // an embedding table: its delta is (B A)ᵀ
};

struct PeftAdapter {
  std::filesystem::path path;  // as given, folder or file
  std::vector<LoraDelta> deltas;
  std::vector<NamedTensor> saved;  // modules stored whole, by canonical tensor name
  std::string hash;                // SHA-256 of its tensor file and the decisive part of its config
  std::vector<std::string> notes;  // what was left out
};

// Reads an adapter for a model of this geometry: a folder, or a file (PEFT's with its configuration
// beside it). Module names may be Hugging Face's (per linear layer), those of one tower alone, or
// OpenAI's and open_clip's; for a fused attention projection, q, k and v share A and each get a
// third of B. Throws WeightsError listing all problems: DoRA, biases, other adapter types, modules
// that the model lacks, shapes that do not fit.
PeftAdapter read_peft_adapter(const std::filesystem::path& path, const ClipGeometry& geometry);

// Merges an adapter (folder or file) into the source: its `tensor` then returns W + scaling · B A
// in fp32. Throws as read_peft_adapter does.
void merge_adapter(WeightsSource& source, const std::filesystem::path& path);

// Initializes LoRA leaves from an adapter, so that training continues from it; targets that the
// adapter lacks keep B = 0. Throws ConfigError, with the values to set, when rank, scaling or
// targets differ from the adapter's.
void start_from_adapter(const std::vector<TrainedParameter>& parameters, const PeftAdapter& adapter,
                        const AdapterOptions& options);

// A run's trained tensors, to be written as an adapter.
struct AdapterRequest {
  const std::vector<NamedTensor>& trained;  // a checkpoint's tensors
  const ModelOptions& model;
  const AdapterOptions& adapter;
  const WeightsSource& source;  // the base
  std::string base_name;        // for adapter_config.json
  at::ScalarType dtype = at::kFloat;
  Towers tower = Towers::kBoth;
  double strength = 1;  // scales what was learned
};

// adapter_config.json and adapter_model.safetensors. Throws ConfigError for full fine-tuning, a
// trained logit scale, another picture size and a base with a merged adapter: an adapter cannot
// carry them.
FolderContents adapter_contents(const AdapterRequest& request);

}  // namespace saferclip
