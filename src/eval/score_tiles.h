// One walk over the score matrix S = A · Bᵀ in square tiles that counts ranks for queries in A and
// queries in B at once. Legend: N rows of A (captions), P rows of B (pictures).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "saferclip/core/stop.h"
#include "saferclip/eval/retrieval.h"

namespace saferclip {

// The counters of one task, whose queries are the rows of A or those of B, in one part of its
// gallery.
struct RankCount {
  const float* relevant;         // score of each query's relevant item
  const std::int32_t* position;  // of that item in this part; null: it is in another part
  std::int32_t* before;          // += items that rank before it
  std::int32_t* equal;           // += items with the same score, itself included
};

struct ScoreCounts {
  std::vector<RankCount> rows;     // queries are the rows of A
  std::vector<RankCount> columns;  // queries are the rows of B
  float* row_best = nullptr;       // [N] highest score of each row of A, or null
  float* column_best = nullptr;    // [P] the same of B
};

// Memory of one tile, for all walks of a retrieval: allocating it for each walk would fragment the
// heap.
at::Tensor tile_buffer();

// What all walks of a retrieval have in common.
struct ScoreWalk {
  at::Tensor buffer;  // of tile_buffer()
  const StopFlag* stop = nullptr;
  TileShare share = {};
};

// S[i, column[i]] for each row i, bit for bit as the walk computes it; fp32 [N].
at::Tensor pair_scores(const at::Tensor& a, const at::Tensor& b,
                       const std::vector<std::int32_t>& column, const ScoreWalk& walk);

// Throws Interrupted between tiles once `stop` is set.
void count_scores(const at::Tensor& a, const at::Tensor& b, const ScoreCounts& counts,
                  const ScoreWalk& walk);

}  // namespace saferclip
