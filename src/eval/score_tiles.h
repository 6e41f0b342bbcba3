// One walk over the score matrix S = A · Bᵀ in square tiles, counting for the rows of A and for the
// rows of B at once. Legend: N rows of A and of B each, row i of A belongs to row i of B.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "saferclip/core/stop.h"

namespace saferclip {

// What one set of queries wants to know of this part of its gallery.
struct RankCount {
  const float* relevant;  // [N] score of each query's relevant item
  bool is_relevant_here;  // whether that item is item i of this part
  std::int32_t* before;   // [N] += items that rank before it
  std::int32_t* equal;    // [N] += other items with the same score
};

struct ScoreCounts {
  std::vector<RankCount> rows;     // queries are the rows of A
  std::vector<RankCount> columns;  // queries are the rows of B
  float* row_best = nullptr;       // [N] highest score of each row of A, where asked for
  float* column_best = nullptr;
};

// s_ii, bit for bit as the walk computes them. fp32 [N].
at::Tensor diagonal_scores(const at::Tensor& a, const at::Tensor& b);

// Throws Interrupted between tiles when `stop` asks.
void count_scores(const at::Tensor& a, const at::Tensor& b, const ScoreCounts& counts,
                  const StopFlag* stop);

}  // namespace saferclip
