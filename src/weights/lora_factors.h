// LoRA factors as files have them, in each dialect: PEFT's folders, kohya's and diffusers' files.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "weights/peft_config.h"
#include "saferclip/io/tensor_file.h"
#include "saferclip/model/clip_model.h"
#include "saferclip/weights/peft_adapter.h"

namespace saferclip {

struct LoraFactors {
  at::Tensor a;  // [r, I], a convolution's [r, I, h, w]
  at::Tensor b;  // [O, r], a convolution's [O, r, 1, 1]
  bool is_embedding = false;
  // PEFT (0.21 read and measured) puts the output layer of a fused attention in twice, in training
  // as in merging; what the adapter was trained to be is W + 2 · scaling · B A.
  double times = 1;
  std::string peft_name;        // under which PEFT's configuration knows the module
  std::optional<double> alpha;  // that stands beside the factors (kohya); scaling alpha / r
};

struct LoraContent {
  std::filesystem::path file;
  std::map<std::string, LoraFactors> factors;  // by the file's module name, `base_layer` removed
  std::map<std::string, at::Tensor> whole;     // modules stored whole, by tensor name
  PeftConfig config;
  std::vector<std::string> problems;
  std::vector<std::string> notes;
};

// "PEFT's", "kohya's" or "diffusers'" when a file with these names holds LoRA factors; else empty.
std::string lora_dialect(const std::vector<std::string>& names);
// The same of a file; false when it cannot be read.
bool is_lora_file(const std::filesystem::path& file);

// Puts one factor where it belongs. A tensor of a type that is not floating-point is a problem.
void keep_factor(LoraContent& content, const std::string& module, bool is_a,
                 const at::Tensor& value);

// Files of diffusion models, whose text encoder is CLIP's text tower: kohya's names
// (`lora_te_text_model_…`, alpha beside the factors) and diffusers' (`text_encoder.…`, the settings
// in the metadata). A U-Net's factors are left out with a note; what has no counterpart is a
// problem. Module names are Hugging Face's.
LoraContent read_lora_file(const TensorFile& file, const ClipGeometry& geometry);

// What `path` names: PEFT's folder, a file in it (which wins over the others there), diffusers'
// folder, or a LoRA file alone. Throws WeightsError when it is none of these.
LoraContent read_lora(const std::filesystem::path& path, const ClipGeometry& geometry);

// Finds the weights that the factors belong to and adds what they do to `adapter`; what does not
// fit goes to `problems`.
void place_factors(const LoraContent& content, const ClipGeometry& geometry, PeftAdapter& adapter,
                   std::vector<std::string>& problems);

}  // namespace saferclip
