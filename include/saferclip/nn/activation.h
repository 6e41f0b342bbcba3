// Activations of the MLP.
#pragma once

#include "saferclip/core/enum_words.h"

namespace saferclip {

// x·σ(1.702x); x·Φ(x); its tanh approximation.
enum class Activation { kQuickGelu, kGelu, kGeluTanh };
// Hugging Face's names.
constexpr auto enum_words(Activation) {
  return std::to_array<EnumWord<Activation>>({{Activation::kQuickGelu, "quick_gelu"},
                                              {Activation::kGelu, "gelu"},
                                              {Activation::kGeluTanh, "gelu_pytorch_tanh"}});
}

}  // namespace saferclip
