// The tensors and linear layers of a model by their canonical names, Hugging Face's (`CLIPModel`,
// `SiglipModel`), which files, adapters and checkpoints use.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "saferclip/model/clip_model.h"

namespace saferclip {

// A canonical tensor and its location: rows [row, row + rows) of *storage (q, k and v share one
// storage), or all of *storage.
struct TensorSlot {
  std::string name;                 // Hugging Face's
  std::vector<std::int64_t> shape;  // in a file of that layout
  at::Tensor* storage = nullptr;
  std::int64_t row = 0;
  std::int64_t rows = 0;
};

// All tensors of the model in a fixed order. The pointers are valid until the model moves.
std::vector<TensorSlot> tensor_slots(ClipModel& model);
// A view of the storage in the file's shape.
at::Tensor slot_view(const TensorSlot& slot);

// A linear layer that can carry an adapter, under its Hugging Face module path; `suffix` is the
// name that `adapter.targets` uses (q_proj, …, patch_embedding).
struct LinearSlot {
  std::string module;
  std::string suffix;
  Linear* layer = nullptr;
  std::int64_t row = 0;
  std::int64_t rows = 0;
};
std::vector<LinearSlot> linear_slots(ClipModel& model);

// Names and shapes alone, without a model.
struct TensorForm {
  std::string name;
  std::vector<std::int64_t> shape;  // in a file of Hugging Face's layout
};
std::vector<TensorForm> tensor_forms(const ClipGeometry& geometry);
std::int64_t parameter_count(const ClipGeometry& geometry);

}  // namespace saferclip
