// Recognizes models that are neither CLIP nor SigLIP by their tensor names.
#pragma once

#include <string>

#include "saferclip/model/geometry.h"
#include "weights/tensor_files.h"

namespace saferclip {

// Throws WeightsError, naming the kind of model, when the tensor names are not of `family` but of a
// ResNet, a timm or Hugging Face tower, CoCa or SigLIP.
void refuse_foreign_model(const TensorFiles& files, const std::string& where, Family family);

}  // namespace saferclip
