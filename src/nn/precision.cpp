// The words of --device, and which of them this machine supports. They are parsed by hand:
// c10::Device's own parser accepts devices this program does not run on, and its exceptions do not
// name the option.
#include "saferclip/nn/precision.h"

#include <ATen/ATen.h>

#include "saferclip/core/error.h"
#include "saferclip/core/matmul.h"
#include "saferclip/core/text_format.h"

namespace saferclip {

c10::Device parse_device(const std::string& word) {
  if (word == "auto") return at::hasCUDA() ? c10::Device(c10::kCUDA, 0) : c10::Device(c10::kCPU);
  if (word == "cpu") return c10::Device(c10::kCPU);
  if (word == "cuda" || word.starts_with("cuda:")) {
    const std::string digits = word == "cuda" ? "0" : word.substr(5);
    if (digits.empty() || digits.size() > 2 ||
        digits.find_first_not_of("0123456789") != std::string::npos) {
      throw ConfigError(cat("--device ", word, ": expected auto, cpu, cuda or cuda:<index>"));
    }
    if (!at::hasCUDA()) {
      throw ConfigError(
          cat("--device ", word,
              ": this LibTorch finds no CUDA device; use --device cpu, or install a driver and "
              "a CUDA build of LibTorch (SAFERCLIP_TORCH)"));
    }
    const int index = std::stoi(digits);
    if (index >= static_cast<int>(at::getNumGPUs())) {
      throw ConfigError(
          cat("--device ", word, ": this machine has ", at::getNumGPUs(), " CUDA device(s)"));
    }
    return c10::Device(c10::kCUDA, static_cast<c10::DeviceIndex>(index));
  }
  throw ConfigError(cat("--device ", word, ": expected auto, cpu, cuda or cuda:<index>"));
}

bool has_fast_bf16(c10::Device device) { return device.is_cuda() || multiplies_bf16_fast(); }

}  // namespace saferclip
