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
  std::string storage;  // the storage's key
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

// Whether a checkpoint may contain this global: tensors, containers, and harmless objects that
// training scripts leave (argparse.Namespace, numpy scalars, paths, …); if `is_script`, also the
// classes of a TorchScript archive.
bool is_known_torch_global(const std::string& name, bool is_script);

// The state_dict of a checkpoint (see open_tensor_file), or the attributes of a TorchScript module,
// their names joined with dots. Checks each tensor's extent against the claimed size of its
// storage. Throws WeightsError with `where`.
TorchTree read_torch_tree(const Pickle& pickle, const std::string& where);

// The storage that a persistent id describes (sets `storage`, `dtype` and `storage_numel`), or none
// if it describes something else.
std::optional<TorchTensor> read_torch_storage(const Pickle& pickle, const PickleValue& value);

}  // namespace saferclip
