// How a layout stores the canonical tensors: one description of it serves reading and writing.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "saferclip/core/named_tensor.h"
#include "saferclip/model/clip_model.h"
#include "saferclip/weights/weights.h"
#include "weights/tensor_files.h"

namespace saferclip {

// Where a canonical tensor stands in a layout, and its shape there.
struct SourceTensor {
  std::string name;
  bool is_transposed = false;
  std::int64_t third = -1;       // 0, 1, 2: q, k, v rows of a fused in-projection; -1: whole
  std::string rest = {};         // holds rows 1/3 to the end, `name` the first third (timm's q, kv)
  bool has_leading_one = false;  // [1, …]
};
// Of a canonical name; throws WeightsError when the layout has no such tensor.
using Locate = std::function<SourceTensor(const std::string& canonical)>;

// Refuses sizes that no CLIP has before anything is made of them. Throws WeightsError.
void check_geometry(const WeightsSource& source);

// Compares what the source's geometry needs with what the files hold and makes the tensors the
// source's: `tensor`, `hash`, `files`, notes of the reader. Throws WeightsError that lists all
// problems. `is_ignored` says which extra names are harmless.
void attach_tensors(WeightsSource& source, const std::shared_ptr<const TensorFiles>& files,
                    const Locate& locate,
                    const std::function<bool(const std::string&)>& is_ignored);

// The way back: all tensors of a model under the layout's names, in its shapes and in `dtype`.
std::vector<NamedTensor> laid_out_tensors(ClipModel& model, at::ScalarType dtype,
                                          const Locate& locate);

}  // namespace saferclip
