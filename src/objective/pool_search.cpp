// An exact search at the speed of inexact products. Scores s of a tile of queries and pool rows
// come from one fp32 or bf16 product; the bound b says that |s - cosine| ≤ b (score_rows.cpp). A
// pool row is compared in float64 only if s + b reaches the best cosine so far and s + 2b the
// tile's highest score; few rows do. When bf16's larger bound lets too many pass, the search
// switches to fp32.
#include "objective/pool_search.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <limits>
#include <string_view>
#include <unordered_set>

#include "saferclip/core/matmul.h"

namespace saferclip {
namespace {

constexpr std::int64_t kPoolChunk = 4096;  // with 512 queries the scores fit the last-level cache
constexpr std::int64_t kBlock = 64;
constexpr std::int64_t kGrain = 16;
// bf16 pays off until about one pool row in 125 needs float64; half of that leaves a margin.
constexpr std::int64_t kPoolRowsPerCandidate = 256;

// Rows that equal an earlier one, ascending.
std::vector<std::int64_t> repeated_rows(const at::Tensor& pool) {
  std::unordered_set<std::string_view> seen;
  std::vector<std::int64_t> repeated;
  const auto* data = static_cast<const char*>(pool.const_data_ptr());
  const std::size_t bytes = pool.size(0) == 0 ? 0 : pool[0].nbytes();
  for (std::int64_t j = 0; j < pool.size(0); ++j) {
    const std::string_view row(data + static_cast<std::size_t>(j) * bytes, bytes);
    if (!seen.insert(row).second) repeated.push_back(j);
  }
  return repeated;
}

}  // namespace

struct PoolSearch::Query {
  std::int64_t row;
  double bound;  // on |score - cosine|
  PoolRow best;
  std::int64_t candidates = 0;
};

struct PoolSearch::Tile {
  at::Tensor scores;  // [queries, rows]
  std::int64_t first_query;
  std::int64_t first;

  template <class Score>
  Score* of(const Query& query) const {
    return scores.mutable_data_ptr<Score>() + (query.row - first_query) * scores.size(1);
  }
};

PoolSearch::PoolSearch(const at::Tensor& queries, const at::Tensor& pool, const at::Tensor& own,
                       const TargetsOptions& options, at::ScalarType scores)
    : queries_(queries),
      pool_(pool),
      own_(own),
      allow_self_(options.allow_self),
      repeated_(options.dedup ? repeated_rows(pool) : std::vector<std::int64_t>()),
      pool_scores_(score_rows(pool, scores)) {}

// Pool rows that may not be chosen get the score -infinity.
template <class Score>
void PoolSearch::hide(const Tile& tile, const Query& query, Score* scores) const {
  const std::int64_t count = tile.scores.size(1);
  constexpr float kNever = -std::numeric_limits<float>::infinity();
  const std::int64_t own = own_.const_data_ptr<std::int64_t>()[query.row] - tile.first;
  if (!allow_self_ && own >= 0 && own < count) scores[own] = kNever;
  for (auto row = std::lower_bound(repeated_.begin(), repeated_.end(), tile.first);
       row != repeated_.end() && *row < tile.first + count; ++row) {
    scores[*row - tile.first] = kNever;
  }
}

// A row with a score below `least` cannot be the best: its cosine is at most score + bound, and
// that is less than a cosine already found, or than the highest score of the tile minus the bound.
// Rows come in ascending order and must exceed the best, so the first of equals stays.
template <class Score>
void PoolSearch::scan(const Tile& tile, Query& query) const {
  const std::int64_t count = tile.scores.size(1), width = pool_.size(1);
  Score* scores = tile.of<Score>(query);
  hide(tile, query, scores);
  const auto most = static_cast<double>(highest_score(scores, count));
  if (most < query.best.cosine - query.bound) return;
  double least = std::max(query.best.cosine - query.bound, most - 2 * query.bound);
  const float* row = queries_.const_data_ptr<float>() + query.row * width;
  for (std::int64_t begin = 0; begin < count; begin += kBlock) {
    const std::int64_t end = std::min(begin + kBlock, count);
    if (static_cast<double>(highest_score(scores + begin, end - begin)) < least) continue;
    for (std::int64_t j = begin; j < end; ++j) {
      const auto score = static_cast<float>(scores[j]);
      if (static_cast<double>(score) < least) continue;
      ++query.candidates;
      const std::int64_t index = tile.first + j;
      const double cosine =
          exact_product(row, pool_.const_data_ptr<float>() + index * width, width);
      if (!(cosine > query.best.cosine)) continue;
      query.best = {index, cosine};
      least = std::max(least, cosine - query.bound);
    }
  }
}

std::vector<PoolRow> PoolSearch::best_of(std::int64_t begin, std::int64_t size) {
  const bool is_bf16 = scores() == at::kBFloat16;
  const ScoreRows rows = score_rows(queries_.narrow(0, begin, size), scores());
  const ScoreBound bound(pool_scores_);
  std::vector<Query> queries;
  for (std::int64_t i = 0; i < size; ++i) queries.push_back({begin + i, bound.of(rows, i), {}, 0});
  if (is_bf16 && (!buffer_.defined() || buffer_.numel() < size * kPoolChunk))
    buffer_ = at::empty({size * kPoolChunk}, at::kBFloat16);
  for (std::int64_t first = 0; first < pool_.size(0); first += kPoolChunk) {
    const std::int64_t count = std::min(kPoolChunk, pool_.size(0) - first);
    const at::Tensor chunk = pool_scores_.rows.narrow(0, first, count);
    Tile tile{{}, begin, first};
    if (is_bf16) {
      tile.scores = buffer_.narrow(0, 0, size * count).view({size, count});
      at::mm_out(tile.scores, rows.rows, chunk.t());
    } else {
      tile.scores = linear_product(rows.rows, chunk);
    }
    at::parallel_for(0, size, kGrain, [&](std::int64_t from, std::int64_t to) {
      for (std::int64_t i = from; i < to; ++i) {
        Query& query = queries[static_cast<std::size_t>(i)];
        is_bf16 ? scan<at::BFloat16>(tile, query) : scan<float>(tile, query);
      }
    });
  }
  std::vector<PoolRow> best;
  std::int64_t candidates = 0;
  for (const Query& query : queries) {
    best.push_back(query.best);
    candidates += query.candidates;
  }
  if (is_bf16 && candidates * kPoolRowsPerCandidate > size * pool_.size(0))
    pool_scores_ = score_rows(pool_, at::kFloat);
  return best;
}

}  // namespace saferclip
