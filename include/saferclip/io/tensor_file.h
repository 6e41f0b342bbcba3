// A file of named tensors in whatever form it came: safetensors, a PyTorch zip checkpoint, a
// TorchScript archive, or PyTorch's legacy stream. Content decides, never the file's name.
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
  std::string dtype;  // safetensors' word: "F32", "BF16", …
  std::vector<std::int64_t> shape;
};

struct TensorFile {
  std::filesystem::path path;
  std::string format;  // "safetensors", "PyTorch zip", "TorchScript archive", "legacy PyTorch"
  std::map<std::string, TensorInfo> entries;
  std::map<std::string, std::string> metadata;  // safetensors' own
  std::vector<std::string> notes;               // what was unwrapped or left out
  // A CPU tensor that looks into the mapped file, of the file's strides; throws WeightsError for
  // an unknown name.
  std::function<at::Tensor(const std::string&)> tensor;
  // Gives back the memory of what was read; tensors stay valid and read the file again.
  std::function<void()> release_pages;
};

// Maps the file and checks all of it but the numbers. Of a PyTorch file the state_dict is taken:
// `state_dict`, `model_state_dict`, `model`, … when it is nested, or the one entry that holds
// tensors by a module's name; weights win over their running average, which the notes then name.
// What wrappers of training put into names (`module.`, `model.`, `_orig_mod.`, FSDP's and others')
// is removed, whatever the format. No code of the file is run; an object that weights do not need
// refuses the file by its name. Throws WeightsError.
TensorFile open_tensor_file(const std::filesystem::path& path);

// The shards of one model, in the order given: a prefix must be that of all their names. One
// tensor in two shards is left to the caller.
std::vector<TensorFile> open_tensor_files(const std::vector<std::filesystem::path>& paths);

// Whether an entry or a prefix is called as running averages of weights are: "state_dict_ema",
// "ema_model.", "swa".
bool names_an_average(const std::string& name);

// Writes a state_dict (OrderedDict of tensors, each with its own storage) in torch.save's zip form,
// atomically and reproducibly; `torch.load(path, weights_only=True)` reads it. fp32, fp16, bf16 and
// int64. Throws WeightsError for duplicate names or another dtype, Error when the disk refuses.
void write_torch_file(const std::filesystem::path& path, const std::vector<NamedTensor>& tensors);

}  // namespace saferclip
