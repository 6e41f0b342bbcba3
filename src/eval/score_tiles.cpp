#include "eval/score_tiles.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>

namespace saferclip {
namespace {

constexpr std::int64_t kTile = 1024;
constexpr std::int64_t kGrain = 64;

struct Tile {
  at::Tensor scores;  // [rows, columns]
  std::int64_t first_row = 0;
  std::int64_t first_column = 0;

  std::int64_t rows() const { return scores.size(0); }
  std::int64_t columns() const { return scores.size(1); }
  const float* row(std::int64_t i) const {
    return scores.const_data_ptr<float>() + i * scores.size(1);
  }
};

Tile make_tile(const at::Tensor& a, const at::Tensor& b, std::int64_t row, std::int64_t column) {
  const std::int64_t rows = std::min(kTile, a.size(0) - row);
  const std::int64_t columns = std::min(kTile, b.size(0) - column);
  return {at::mm(a.narrow(0, row, rows), b.narrow(0, column, columns).t()), row, column};
}

void count_row(const RankCount& count, const Tile& tile, std::int64_t i) {
  const std::int64_t query = tile.first_row + i;
  const float wanted = count.relevant[query];
  const float* scores = tile.row(i);
  std::int32_t above = 0;
  std::int32_t equal = 0;
  for (std::int64_t j = 0; j < tile.columns(); ++j) {
    above += scores[j] > wanted ? 1 : 0;
    equal += scores[j] == wanted ? 1 : 0;
  }
  const std::int64_t own = query - tile.first_column;
  if (count.is_relevant_here && equal > 0) {
    const std::int64_t end = std::clamp<std::int64_t>(own, 0, tile.columns());
    for (std::int64_t j = 0; j < end; ++j) above += scores[j] == wanted ? 1 : 0;
    if (own >= 0 && own < tile.columns() && scores[own] == wanted) --equal;
  }
  count.before[query] += above;
  count.equal[query] += equal;
}

// Columns [begin, end) of a tile, row by row so that the compiler can count many at a time.
void count_columns(const RankCount& count, const Tile& tile, std::int64_t begin, std::int64_t end) {
  const float* wanted = count.relevant + tile.first_column;
  std::int32_t* before = count.before + tile.first_column;
  std::int32_t* equal = count.equal + tile.first_column;
  for (std::int64_t i = 0; i < tile.rows(); ++i) {
    const float* scores = tile.row(i);
    for (std::int64_t j = begin; j < end; ++j) {
      before[j] += scores[j] > wanted[j] ? 1 : 0;
      equal[j] += scores[j] == wanted[j] ? 1 : 0;
    }
    if (!count.is_relevant_here) continue;
    // Items of equal score that stand before the relevant one, which is on the diagonal.
    const std::int64_t diagonal = tile.first_row + i - tile.first_column;
    for (std::int64_t j = std::max(begin, diagonal + 1); j < end; ++j) {
      before[j] += scores[j] == wanted[j] ? 1 : 0;
    }
    if (diagonal >= begin && diagonal < end && scores[diagonal] == wanted[diagonal]) {
      --equal[diagonal];
    }
  }
}

void best_of_columns(float* best, const Tile& tile, std::int64_t begin, std::int64_t end) {
  for (std::int64_t i = 0; i < tile.rows(); ++i) {
    const float* scores = tile.row(i);
    for (std::int64_t j = begin; j < end; ++j) {
      best[tile.first_column + j] = std::max(best[tile.first_column + j], scores[j]);
    }
  }
}

}  // namespace

at::Tensor diagonal_scores(const at::Tensor& a, const at::Tensor& b) {
  at::Tensor scores = at::empty({a.size(0)}, at::kFloat);
  for (std::int64_t first = 0; first < a.size(0); first += kTile) {
    const Tile tile = make_tile(a, b, first, first);
    scores.narrow(0, first, tile.rows()).copy_(tile.scores.diagonal());
  }
  return scores;
}

void count_scores(const at::Tensor& a, const at::Tensor& b, const ScoreCounts& counts) {
  for (std::int64_t row = 0; row < a.size(0); row += kTile) {
    for (std::int64_t column = 0; column < b.size(0); column += kTile) {
      const Tile tile = make_tile(a, b, row, column);
      at::parallel_for(0, tile.rows(), kGrain, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) {
          for (const RankCount& count : counts.rows) count_row(count, tile, i);
          if (counts.row_best == nullptr) continue;
          float& best = counts.row_best[row + i];
          best = std::max(best, *std::max_element(tile.row(i), tile.row(i) + tile.columns()));
        }
      });
      at::parallel_for(0, tile.columns(), kGrain, [&](std::int64_t begin, std::int64_t end) {
        for (const RankCount& count : counts.columns) count_columns(count, tile, begin, end);
        if (counts.column_best != nullptr) best_of_columns(counts.column_best, tile, begin, end);
      });
    }
  }
}

}  // namespace saferclip
