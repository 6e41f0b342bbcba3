// LoRA factors as stored, in each dialect: PEFT's folders, kohya's and diffusers' files.
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

// PEFT's file of factors; exports write it too.
inline constexpr const char* kAdapterFile = "adapter_model.safetensors";

struct LoraFactors {
  at::Tensor a;  // [r, I]; for a convolution [r, I, h, w]
  at::Tensor b;  // [O, r]; for a convolution [O, r, 1, 1]
  bool is_embedding = false;
  // PEFT (0.21, read and measured) applies the adapter on the output layer of a fused attention
  // twice, in training and in merging: it was trained as W + 2 · scaling · B A.
  double times = 1;
  std::string peft_name;        // the module's name in PEFT's configuration
  std::optional<double> alpha;  // stored beside the factors (kohya); scaling alpha / r
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
// Whether a file holds LoRA factors; false when it cannot be read.
bool is_lora_file(const std::filesystem::path& file);

enum class Factor { kA, kB };
// Stores one factor under its module. A tensor that is not floating-point is a problem.
void keep_factor(LoraContent& content, const std::string& module, Factor factor,
                 const at::Tensor& value);

// Reads PEFT's folder, a file in it (which takes precedence over the others there), diffusers'
// folder, or a single LoRA file. Throws WeightsError when `path` is none of these.
LoraContent read_lora(const std::filesystem::path& path, const ClipGeometry& geometry);

}  // namespace saferclip
