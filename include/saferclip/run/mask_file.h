// masks.safetensors: which weights a run with adapter.method: mask left on, one bit a weight.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "saferclip/core/named_tensor.h"
#include "saferclip/model/model_options.h"

namespace saferclip {

inline constexpr const char* kMasksFile = "masks.safetensors";

// One bit an element of `flags` (bool), row-major, the most significant bit first, the last byte
// padded with zeros: uint8 [ceil(n / 8)].
at::Tensor packed_bits(const at::Tensor& flags);

// The content of the file: for each masked weight of the towers its packed bits, 1 where the weight
// is on, under Hugging Face's name of the weight; the metadata has off_value, and the weight's
// shape under the same name. `trained`: a checkpoint's tensors.
std::string mask_file_content(const std::vector<NamedTensor>& trained,
                              const AdapterOptions& adapter, Towers towers);

}  // namespace saferclip
