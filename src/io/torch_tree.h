// Tensors inside a PyTorch pickle.
#pragma once

#include <c10/core/ScalarType.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "io/pickle.h"

namespace saferclip {

// A tensor as a pickle describes it; sizes in elements of `dtype`.
struct TorchTensor {
  std::string storage;  // key of its storage
  c10::ScalarType dtype = c10::ScalarType::Float;
  std::int64_t storage_numel = 0;
  std::int64_t offset = 0;
  std::vector<std::int64_t> shape;
  std::vector<std::int64_t> strides;
};

struct TorchTree {
  std::map<std::string, TorchTensor> tensors;
  std::vector<std::string> notes;
};

// Which globals may stand in a checkpoint: those of tensors and containers, and harmless ones that
// training scripts leave (argparse.Namespace, numpy scalars, paths, …). Those of a TorchScript
// archive besides when `is_script`.
bool is_known_torch_global(const std::string& name, bool is_script);

// The state_dict of a checkpoint (see open_tensor_file); of a TorchScript module the attributes,
// joined with dots. Every tensor's extent is checked against its storage's claimed size.
// Throws WeightsError naming `where`.
TorchTree read_torch_tree(const Pickle& pickle, const std::string& where);

// The storage that a persistent id describes (`storage`, `dtype` and `storage_numel` are set); none
// when it describes something else.
std::optional<TorchTensor> read_torch_storage(const Pickle& pickle, const PickleValue& value);

}  // namespace saferclip
