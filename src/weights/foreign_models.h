// Models that are neither CLIP nor SigLIP, told by the names of their tensors.
#pragma once

#include <string>

#include "saferclip/model/geometry.h"
#include "weights/tensor_files.h"

namespace saferclip {

// Throws WeightsError that says which kind of model this is when the names show one that `family`
// is not (ResNet, timm or Hugging Face towers, CoCa, SigLIP).
void refuse_foreign_model(const TensorFiles& files, const std::string& where, Family family);

}  // namespace saferclip
