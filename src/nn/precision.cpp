// The words of --device, and which of them this machine supports. They are parsed by hand:
// c10::Device's own parser accepts devices this program does not run on, and its exceptions do not
// name the option.
#include "saferclip/nn/precision.h"

#include <ATen/ATen.h>

#include "saferclip/core/error.h"
#include "saferclip/core/matmul.h"
#include "saferclip/core/text_format.h"
#include "saferclip/nn/cuda_card.h"

namespace saferclip {
namespace {

constexpr int kFirstBf16Capability = 8;  // Ampere, which also brought TF32

}  // namespace

c10::Device parse_device(const std::string& word, int local_rank) {
  const bool is_auto = word == "auto";
  if (word == "cpu" || (is_auto && !at::hasCUDA())) return c10::Device(c10::kCPU);
  const bool has_index = word.starts_with("cuda:");
  if (!is_auto && word != "cuda" && !has_index) {
    throw ConfigError(cat("--device ", word, ": expected auto, cpu, cuda or cuda:<index>"));
  }
  const std::string digits = has_index ? word.substr(5) : std::to_string(local_rank);
  if (digits.empty() || digits.size() > 2 ||
      digits.find_first_not_of("0123456789") != std::string::npos) {
    throw ConfigError(cat("--device ", word, ": expected auto, cpu, cuda or cuda:<index>"));
  }
  if (!at::hasCUDA()) {
    throw ConfigError(
        cat("--device ", word, ": no CUDA device: ", why_no_cuda(), ", or use --device cpu"));
  }
  const int index = std::stoi(digits), count = static_cast<int>(at::getNumGPUs());
  if (index >= count) {
    throw ConfigError(
        cat("--device ", word, ": this machine has ", count, " CUDA device(s)",
            has_index ? ""
                      : cat(", and process ", local_rank,
                            " of it needs one of its own; start at most ", count, " here")));
  }
  return c10::Device(c10::kCUDA, static_cast<c10::DeviceIndex>(index));
}

bool has_fast_bf16(c10::Device device) {
  if (!device.is_cuda()) return multiplies_bf16_fast();
  const std::optional<CudaCard> card = cuda_card(device.index());
  return !card || card->major >= kFirstBf16Capability;
}

std::string why_no_bf16(c10::Device device) {
  if (!device.is_cuda()) return "this CPU has no fast bf16 (AVX512-BF16)";
  const std::optional<CudaCard> card = cuda_card(device.index());
  return cat(card ? card->name : device.str(), " has no bf16 units (compute capability ",
             card ? card->capability() : "unknown", "; 8.0 or more is needed)");
}

bool has_tf32(c10::Device device) { return device.is_cuda() && has_fast_bf16(device); }

}  // namespace saferclip
