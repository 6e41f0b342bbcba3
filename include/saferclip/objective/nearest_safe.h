// Nearest-safe targets: j*(i) = argmax_j cos(T0(t*_i), T0(t_j)) over the full pool (SaFeR-CLIP,
// slide 8).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "saferclip/core/stop.h"
#include "saferclip/objective/objective_options.h"

namespace saferclip {

struct NearestTargets {
  at::Tensor index;         // int64 [N]: pool row; -1: the own partner, which is not in the pool
  at::Tensor cosine;        // fp32 [N]: to that row
  at::Tensor fixed_cosine;  // fp32 [N]: to the own partner
};

// `unsafe_text` and `own_text` (each row's own safe caption) [N, D], `pool` [M, D]: L2-normalised
// fp32 rows on the CPU. `own` int64 [N]: the pool row of the own safe caption, -1 when it is not in
// the pool. Exact over the whole pool in chunks of bounded memory: fp32 or (where the CPU
// multiplies it faster) bf16 scores leave out what a bound of their error excludes, float64
// compares the rest, the lowest index wins. With options.dedup equal pool rows stand for their
// first; with min_similarity a row whose best cosine is below keeps its own partner. `stop` is
// asked between chunks; throws Interrupted.
NearestTargets find_nearest_safe(const at::Tensor& unsafe_text, const at::Tensor& own_text,
                                 const at::Tensor& pool, const at::Tensor& own,
                                 const TargetsOptions& options, const StopFlag* stop = nullptr);

}  // namespace saferclip
