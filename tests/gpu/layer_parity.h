// A model on a device beside the CPU: every block, every loss, every gradient.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "saferclip/model/model_options.h"
#include "saferclip/weights/weights.h"

namespace saferclip {

// How far a part is from the CPU's in fp32, relative to the CPU's: the largest of the tokens' rows
// of a block (‖difference‖ / ‖row‖), else of the whole tensor or number.
struct ParityRow {
  enum class Kind { kOutput, kLoss, kGradient };

  Kind kind = Kind::kOutput;
  std::string part;                // "output vision 3", "loss of step 1", "gradient text 0"
  double fp32 = 0;                 // the device's fp32
  double bf16 = 0;                 // the device's bf16
  std::optional<double> cpu_bf16;  // the CPU's bf16: what the format alone costs

  double fp32_bound() const;
  double bf16_bound() const;
};

enum class CpuBf16 { kSkip, kMeasure };

// `rows` (four or more) random rows through all blocks one by one, then three training steps. With
// LoRA the adapters' B, which begin as zeros, are random.
std::vector<ParityRow> layer_parity(const WeightsSource& source, std::int64_t rows,
                                    AdapterMethod method, at::Device device, CpuBf16 cpu_bf16);

}  // namespace saferclip
