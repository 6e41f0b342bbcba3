// For each query the pool row with the highest dot product, exactly: fast scores select the few
// candidates that float64 compares. Legend: N queries, M pool rows, D their width.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "objective/score_rows.h"
#include "saferclip/objective/objective_options.h"

namespace saferclip {

struct PoolRow {
  std::int64_t index = -1;
  double cosine = -2;
};

class PoolSearch {
 public:
  // `queries` [N, D] and `pool` [M, D]: contiguous fp32 on the CPU. `own` int64 [N]: the pool
  // row that a query may choose only if options.allow_self, or -1. `scores`: kBFloat16 or kFloat.
  PoolSearch(const at::Tensor& queries, const at::Tensor& pool, const at::Tensor& own,
             const TargetsOptions& options, at::ScalarType scores);

  // For queries [begin, begin + size); index -1 if the pool has no row to choose. After a chunk in
  // which bf16 scores left too many candidates, further chunks use fp32 scores.
  std::vector<PoolRow> best_of(std::int64_t begin, std::int64_t size);

  at::ScalarType scores() const { return pool_scores_.rows.scalar_type(); }

 private:
  struct Query;
  struct Tile;

  template <class Score>
  void scan(const Tile& tile, Query& query) const;
  template <class Score>
  void hide(const Tile& tile, const Query& query, Score* scores) const;

  const at::Tensor queries_;
  const at::Tensor pool_;
  const at::Tensor own_;
  const bool allow_self_;
  std::vector<std::int64_t> repeated_;  // pool rows that equal an earlier one, ascending
  ScoreRows pool_scores_;
  at::Tensor buffer_;  // scores of a tile in bf16
};

}  // namespace saferclip
