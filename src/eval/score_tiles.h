// One walk over the score matrix S = A · Bᵀ in square tiles, counting for the rows of A and for the
// rows of B at once. Legend: N rows of A (captions), P rows of B (pictures).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "saferclip/core/stop.h"

namespace saferclip {

// What one set of queries, the rows of A or those of B, wants to know of this part of its gallery.
struct RankCount {
  const float* relevant;      // score of each query's relevant item
  const std::int32_t* place;  // where that item stands in this part; null: in another part
  std::int32_t* before;       // += items that rank before it
  std::int32_t* equal;        // += items with the same score, itself included
};

struct ScoreCounts {
  std::vector<RankCount> rows;     // queries are the rows of A
  std::vector<RankCount> columns;  // queries are the rows of B
  float* row_best = nullptr;       // [N] highest score of each row of A, where asked for
  float* column_best = nullptr;    // [P]
};

// Memory of one tile, for all walks of a retrieval: taken anew each time, it leaves the heap in
// pieces.
at::Tensor tile_buffer();

// s_i,column[i], bit for bit as the walk computes them. fp32 [N].
at::Tensor pair_scores(const at::Tensor& a, const at::Tensor& b,
                       const std::vector<std::int32_t>& column, const at::Tensor& buffer);

// Throws Interrupted between tiles when `stop` asks.
void count_scores(const at::Tensor& a, const at::Tensor& b, const ScoreCounts& counts,
                  const at::Tensor& buffer, const StopFlag* stop);

}  // namespace saferclip
