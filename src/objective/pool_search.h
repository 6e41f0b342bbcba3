// The pool row of the highest product with a query, exactly: fast scores choose whom float64 looks
// at. Legend: N queries, M rows of the pool, D their width.
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
  // `queries` [N, D] and `pool` [M, D]: contiguous fp32 on the CPU. `own` int64 [N]: the row a
  // query may not take unless options.allow_self, or -1. `scores`: kBFloat16 or kFloat.
  PoolSearch(const at::Tensor& queries, const at::Tensor& pool, const at::Tensor& own,
             const TargetsOptions& options, at::ScalarType scores);

  // Of queries [begin, begin + size); index -1 where the pool has nothing to choose. After a chunk
  // in which bf16 scores leave too much to float64, the next ones get fp32 scores.
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
  std::vector<std::int64_t> repeated_;  // ascending rows that stand for an earlier, equal one
  ScoreRows pool_scores_;
  at::Tensor buffer_;  // scores of a tile in bf16
};

}  // namespace saferclip
