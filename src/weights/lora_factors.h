// LoRA factors as files have them, in each dialect: PEFT's folders, kohya's and diffusers' files.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "saferclip/io/tensor_file.h"
#include "saferclip/model/clip_model.h"
#include "saferclip/weights/peft.h"
#include "weights/peft_config.h"

namespace saferclip {

// PEFT's file of factors, which is also what exports write.
inline constexpr const char* kAdapterFile = "adapter_model.safetensors";

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
std::string lora_dialect(const TensorFile& file);
// The same of a file; false when it cannot be read.
bool is_lora_file(const std::filesystem::path& file);

enum class Factor { kA, kB };
// Puts one factor where it belongs. A tensor of a type that is not floating-point is a problem.
void keep_factor(LoraContent& content, const std::string& module, Factor factor,
                 const at::Tensor& value);

// What `path` names: PEFT's folder, a file in it (which wins over the others there), diffusers'
// folder, or a LoRA file alone. Throws WeightsError when it is none of these.
LoraContent read_lora(const std::filesystem::path& path, const ClipGeometry& geometry);

}  // namespace saferclip
