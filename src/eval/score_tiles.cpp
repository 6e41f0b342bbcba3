#include "eval/score_tiles.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>

#include "saferclip/core/vectorised.h"

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

// Makes tiles in one buffer: a tile lives until the next is made.
class TileMaker {
 public:
  TileMaker(const at::Tensor& a, const at::Tensor& b)
      : a_(a), b_(b), buffer_(at::empty({kTile * kTile}, at::kFloat)) {}

  Tile make(std::int64_t row, std::int64_t column) {
    const std::int64_t rows = std::min(kTile, a_.size(0) - row);
    const std::int64_t columns = std::min(kTile, b_.size(0) - column);
    at::Tensor scores = buffer_.narrow(0, 0, rows * columns).view({rows, columns});
    at::mm_out(scores, a_.narrow(0, row, rows), b_.narrow(0, column, columns).t());
    return {scores, row, column};
  }

 private:
  const at::Tensor& a_;
  const at::Tensor& b_;
  at::Tensor buffer_;
};

struct Counts {
  std::int32_t above = 0;
  std::int32_t equal = 0;
};

[[gnu::always_inline]] inline Counts count_scores_of_row(const float* scores, std::int64_t size,
                                                         float wanted) {
  std::int32_t above = 0;
  std::int32_t equal = 0;
  for (std::int64_t j = 0; j < size; ++j) {
    above += scores[j] > wanted ? 1 : 0;
    equal += scores[j] == wanted ? 1 : 0;
  }
  return {above, equal};
}

[[gnu::always_inline]] inline float highest(const float* scores, std::int64_t size, float best) {
  for (std::int64_t j = 0; j < size; ++j) best = scores[j] > best ? scores[j] : best;
  return best;
}

[[gnu::always_inline]] inline void count_into(const float* __restrict scores,
                                              const float* __restrict wanted, std::int64_t size,
                                              std::int32_t* __restrict before,
                                              std::int32_t* __restrict equal) {
  for (std::int64_t j = 0; j < size; ++j) {
    before[j] += scores[j] > wanted[j] ? 1 : 0;
    equal[j] += scores[j] == wanted[j] ? 1 : 0;
  }
}

[[gnu::always_inline]] inline void count_equal_into(const float* __restrict scores,
                                                    const float* __restrict wanted,
                                                    std::int64_t size,
                                                    std::int32_t* __restrict before) {
  for (std::int64_t j = 0; j < size; ++j) before[j] += scores[j] == wanted[j] ? 1 : 0;
}

[[gnu::always_inline]] inline void highest_into(const float* __restrict scores, std::int64_t size,
                                                float* __restrict best) {
  for (std::int64_t j = 0; j < size; ++j) best[j] = scores[j] > best[j] ? scores[j] : best[j];
}

[[gnu::always_inline]] inline void count_row(const RankCount& count, const Tile& tile,
                                             std::int64_t i) {
  const std::int64_t query = tile.first_row + i;
  const float wanted = count.relevant[query];
  const float* scores = tile.row(i);
  Counts found = count_scores_of_row(scores, tile.columns(), wanted);
  const std::int64_t own = query - tile.first_column;
  if (count.is_relevant_here && found.equal > 0) {
    const std::int64_t end = std::clamp<std::int64_t>(own, 0, tile.columns());
    found.above += count_scores_of_row(scores, end, wanted).equal;
    if (own >= 0 && own < tile.columns() && scores[own] == wanted) --found.equal;
  }
  count.before[query] += found.above;
  count.equal[query] += found.equal;
}

// Columns [begin, end) of a tile, row by row so that the compiler can count many at a time.
[[gnu::always_inline]] inline void count_columns(const RankCount& count, const Tile& tile,
                                                 std::int64_t begin, std::int64_t end) {
  const float* wanted = count.relevant + tile.first_column;
  std::int32_t* before = count.before + tile.first_column;
  std::int32_t* equal = count.equal + tile.first_column;
  for (std::int64_t i = 0; i < tile.rows(); ++i) {
    const float* scores = tile.row(i);
    count_into(scores + begin, wanted + begin, end - begin, before + begin, equal + begin);
    if (!count.is_relevant_here) continue;
    // Items of equal score that stand before the relevant one, which is on the diagonal.
    const std::int64_t diagonal = tile.first_row + i - tile.first_column;
    const std::int64_t first = std::max(begin, diagonal + 1);
    if (first < end) count_equal_into(scores + first, wanted + first, end - first, before + first);
    if (diagonal >= begin && diagonal < end && scores[diagonal] == wanted[diagonal]) {
      --equal[diagonal];
    }
  }
}

[[gnu::always_inline]] inline void best_of_columns(float* best, const Tile& tile,
                                                   std::int64_t begin, std::int64_t end) {
  for (std::int64_t i = 0; i < tile.rows(); ++i) {
    highest_into(tile.row(i) + begin, end - begin, best + tile.first_column + begin);
  }
}

}  // namespace

at::Tensor diagonal_scores(const at::Tensor& a, const at::Tensor& b) {
  at::Tensor scores = at::empty({a.size(0)}, at::kFloat);
  TileMaker maker(a, b);
  for (std::int64_t first = 0; first < a.size(0); first += kTile) {
    const Tile tile = maker.make(first, first);
    scores.narrow(0, first, tile.rows()).copy_(tile.scores.diagonal());
  }
  return scores;
}

void count_scores(const at::Tensor& a, const at::Tensor& b, const ScoreCounts& counts,
                  const StopFlag* stop) {
  TileMaker maker(a, b);
  for (std::int64_t row = 0; row < a.size(0); row += kTile) {
    for (std::int64_t column = 0; column < b.size(0); column += kTile) {
      throw_if_asked(stop, "interrupted in a retrieval");
      const Tile tile = maker.make(row, column);
      at::parallel_for(0, tile.rows(), kGrain, [&](std::int64_t begin, std::int64_t end) {
        vectorised([&] {
          for (std::int64_t i = begin; i < end; ++i) {
            for (const RankCount& count : counts.rows) count_row(count, tile, i);
            if (counts.row_best == nullptr) continue;
            float& best = counts.row_best[row + i];
            best = highest(tile.row(i), tile.columns(), best);
          }
        });
      });
      at::parallel_for(0, tile.columns(), kGrain, [&](std::int64_t begin, std::int64_t end) {
        vectorised([&] {
          for (const RankCount& count : counts.columns) count_columns(count, tile, begin, end);
          if (counts.column_best != nullptr) best_of_columns(counts.column_best, tile, begin, end);
        });
      });
    }
  }
}

}  // namespace saferclip
