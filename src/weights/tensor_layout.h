// How a layout stores the canonical tensors: one description for reading and writing.
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

// A canonical tensor's name and form in a layout.
struct SourceTensor {
  std::string name;
  bool is_transposed = false;
  std::int64_t third = -1;       // 0, 1, 2: q, k, v rows of a fused in-projection; -1: whole
  std::string rest = {};         // holds rows 1/3 to the end, `name` the first third (timm's q, kv)
  bool has_leading_one = false;  // [1, …]
};
// For a canonical name; throws WeightsError when the layout has no such tensor.
using Locate = std::function<SourceTensor(const std::string& canonical)>;

// Throws WeightsError for sizes that no CLIP has, before anything is allocated.
void check_geometry(const WeightsSource& source);

// Checks the files against the source's geometry and attaches them to it: `tensor`, `hash`,
// `files`, the reader's notes. Throws WeightsError listing all problems. `is_ignored`: whether an
// extra name is harmless.
void attach_tensors(WeightsSource& source, const std::shared_ptr<const TensorFiles>& files,
                    const Locate& locate,
                    const std::function<bool(const std::string&)>& is_ignored);

// The reverse: all tensors of a model under the layout's names, in its shapes and in `dtype`.
std::vector<NamedTensor> laid_out_tensors(ClipModel& model, at::ScalarType dtype,
                                          const Locate& locate);

}  // namespace saferclip
