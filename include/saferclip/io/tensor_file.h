// A file of named tensors in any of these formats: safetensors, PyTorch zip checkpoint, TorchScript
// archive, PyTorch's legacy stream. The format is determined by the file's content, not its name.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "saferclip/io/safetensors.h"

namespace saferclip {

struct TensorInfo {
  std::string dtype;  // as safetensors names it: "F32", "BF16", …
  std::vector<std::int64_t> shape;
};

struct TensorFile {
  std::filesystem::path path;
  std::string format;  // "safetensors", "PyTorch zip", "TorchScript archive", "legacy PyTorch"
  std::map<std::string, TensorInfo> entries;
  std::map<std::string, std::string> metadata;  // of safetensors
  std::vector<std::string> notes;               // for users: what was unwrapped or left out
  // A CPU tensor that views the mapped file, with the file's strides. Throws WeightsError for an
  // unknown name.
  std::function<at::Tensor(const std::string&)> tensor;
  // Frees the memory of pages that were read; tensors stay valid and read the file again.
  std::function<void()> release_pages;
};

// Maps the file and validates everything but the numbers. From a PyTorch file it takes the
// state_dict: the nested entry `state_dict`, `model_state_dict`, `model`, …, or the only entry with
// tensors under module names. Weights take precedence over their running average, which the notes
// then mention. Name components added by training wrappers (`module.`, `model.`, `_orig_mod.`,
// FSDP's and others') are removed, in any format. No code from the file is run: a file with an
// object that weights do not need is refused, and the message names the object. Throws
// WeightsError.
TensorFile open_tensor_file(const std::filesystem::path& path);

// The shards of one model, in the order given. A prefix is removed only if all names of all shards
// have it. Does not check for a tensor in two shards.
std::vector<TensorFile> open_tensor_files(const std::vector<std::filesystem::path>& paths);

// Whether the name of an entry or a prefix suggests a running average of the weights:
// "state_dict_ema", "ema_model.", "swa".
bool is_average(const std::string& name);

// Writes a state_dict (OrderedDict of tensors, each with its own storage) in torch.save's zip
// format, atomically and reproducibly; `torch.load(path, weights_only=True)` reads it. fp32, fp16,
// bf16 and int64. Throws WeightsError for duplicate names or another dtype, Error if writing fails.
void write_torch_file(const std::filesystem::path& path, const std::vector<NamedTensor>& tensors);

}  // namespace saferclip
