// Nearest-safe targets: j*(i) = argmax_j cos(T0(t*_i), T0(t_j)) over the full pool (SaFeR-CLIP,
// slide 8).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "saferclip/core/stop.h"
#include "saferclip/objective/objective_options.h"

namespace saferclip {

struct NearestTargets {
  at::Tensor index;         // int64 [N]: pool row; -1: the own partner, if it is not in the pool
  at::Tensor cosine;        // fp32 [N]: with that row
  at::Tensor fixed_cosine;  // fp32 [N]: with the own partner
};

// `unsafe_text` and `own_text` (each row's own safe caption) [N, D], `pool` [M, D]: L2-normalized
// fp32 rows on the CPU. `own` int64 [N]: the pool row of the own safe caption, -1 if it is not in
// the pool. The result is exact, ties go to the lowest index, and memory is bounded: fp32 or (where
// faster on this CPU) bf16 scores rule out most pool rows by a bound on their error, float64
// compares the rest. With options.dedup the first of equal pool rows stands for all; with
// min_similarity, rows whose best cosine is lower keep their own partner. Throws Interrupted
// between chunks once `stop` is set.
NearestTargets find_nearest_safe(const at::Tensor& unsafe_text, const at::Tensor& own_text,
                                 const at::Tensor& pool, const at::Tensor& own,
                                 const TargetsOptions& options, const StopFlag* stop = nullptr);

}  // namespace saferclip
