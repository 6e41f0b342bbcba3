// Reads LoRA files of kohya and diffusers.
#pragma once

#include "saferclip/io/tensor_file.h"
#include "saferclip/model/geometry.h"
#include "weights/lora_factors.h"

namespace saferclip {

// Files of diffusion models, whose text encoder is CLIP's text tower: kohya's names
// (`lora_te_text_model_…`, alpha beside the factors) and diffusers' (`text_encoder.…`, the settings
// in the metadata). A U-Net's factors are skipped with a note; a module without a counterpart is a
// problem. Module names are Hugging Face's.
LoraContent read_lora_file(const TensorFile& file, const ClipGeometry& geometry);

}  // namespace saferclip
