// What a backward pass recomputes.
#pragma once

#include "saferclip/core/enum_words.h"

namespace saferclip {

// What the backward pass recomputes to save memory: nothing; the attention weights [H, L, L] (CPU
// only); all of a block but its input (gradient checkpointing, arXiv 1604.06174). Results are
// bit-identical.
enum class Recompute { kNothing, kAttention, kBlocks };
constexpr auto enum_words(Recompute) {
  return std::to_array<EnumWord<Recompute>>({{Recompute::kNothing, "nothing"},
                                             {Recompute::kAttention, "attention"},
                                             {Recompute::kBlocks, "blocks"}});
}

}  // namespace saferclip
