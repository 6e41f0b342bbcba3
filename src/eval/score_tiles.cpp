// A tile of 1024 x 1024 scores (4 MB) stays in the last-level cache while every task counts it,
// once by rows and once by columns. Threads split the rows, then the columns, so each counter has
// one writer and counts do not depend on the number of threads. Comparisons with NaN are false: a
// NaN score never ranks before anything.
#include "eval/score_tiles.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <set>

#include "saferclip/core/vectorized.h"

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

// Makes tiles in one buffer: a tile is valid until the next is made.
class TileMaker {
 public:
  TileMaker(const at::Tensor& a, const at::Tensor& b, const at::Tensor& buffer)
      : a_(a), b_(b), buffer_(buffer) {}

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
  const at::Tensor& buffer_;
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

// The same for one item where ties rank by position: those before the relevant item's `position`
// rank before it. `own` counts from the first query on.
[[gnu::always_inline]] inline void count_by_position(const float* __restrict scores,
                                                     const RankCount& own, std::int32_t item,
                                                     std::int64_t size) {
  const float* __restrict wanted = own.relevant;
  const std::int32_t* __restrict position = own.position;
  std::int32_t* __restrict before = own.before;
  std::int32_t* __restrict equal = own.equal;
  for (std::int64_t j = 0; j < size; ++j) {
    const std::int32_t is_equal = scores[j] == wanted[j] ? 1 : 0;
    const std::int32_t is_first = item < position[j] ? is_equal : 0;
    before[j] += scores[j] > wanted[j] ? 1 : is_first;
    equal[j] += is_equal;
  }
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
  if (count.position != nullptr && found.equal > 0) {
    const std::int64_t end =
        std::clamp<std::int64_t>(count.position[query] - tile.first_column, 0, tile.columns());
    found.above += count_scores_of_row(scores, end, wanted).equal;
  }
  count.before[query] += found.above;
  count.equal[query] += found.equal;
}

// Columns [begin, end) of a tile. Row by row, so that the compiler vectorizes over columns.
[[gnu::always_inline]] inline void count_columns(const RankCount& count, const Tile& tile,
                                                 std::int64_t begin, std::int64_t end) {
  const std::int64_t first = tile.first_column + begin;
  const RankCount own{count.relevant + first,
                      count.position == nullptr ? nullptr : count.position + first,
                      count.before + first, count.equal + first};
  for (std::int64_t i = 0; i < tile.rows(); ++i) {
    const float* scores = tile.row(i) + begin;
    if (own.position == nullptr) {
      count_into(scores, own.relevant, end - begin, own.before, own.equal);
    } else {
      count_by_position(scores, own, static_cast<std::int32_t>(tile.first_row + i), end - begin);
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

at::Tensor tile_buffer() { return at::empty({kTile * kTile}, at::kFloat); }

at::Tensor pair_scores(const at::Tensor& a, const at::Tensor& b,
                       const std::vector<std::int32_t>& column, const at::Tensor& buffer) {
  at::Tensor scores = at::empty({a.size(0)}, at::kFloat);
  auto* data = scores.mutable_data_ptr<float>();
  TileMaker maker(a, b, buffer);
  for (std::int64_t first = 0; first < a.size(0); first += kTile) {
    const std::int64_t end = std::min(first + kTile, a.size(0));
    // Captions in the order of their pictures need one or two tiles.
    std::set<std::int64_t> needed;
    for (std::int64_t i = first; i < end; ++i) {
      needed.insert(column[static_cast<std::size_t>(i)] / kTile * kTile);
    }
    for (const std::int64_t first_column : needed) {
      const Tile tile = maker.make(first, first_column);
      for (std::int64_t i = first; i < end; ++i) {
        const std::int64_t j = column[static_cast<std::size_t>(i)] - first_column;
        if (j >= 0 && j < tile.columns()) data[i] = tile.row(i - first)[j];
      }
    }
  }
  return scores;
}

void count_scores(const at::Tensor& a, const at::Tensor& b, const ScoreCounts& counts,
                  const at::Tensor& buffer, const StopFlag* stop) {
  TileMaker maker(a, b, buffer);
  for (std::int64_t row = 0; row < a.size(0); row += kTile) {
    for (std::int64_t column = 0; column < b.size(0); column += kTile) {
      throw_if_stopped(stop, "interrupted during retrieval");
      const Tile tile = maker.make(row, column);
      at::parallel_for(0, tile.rows(), kGrain, [&](std::int64_t begin, std::int64_t end) {
        vectorized([&] {
          for (std::int64_t i = begin; i < end; ++i) {
            for (const RankCount& count : counts.rows) count_row(count, tile, i);
            if (counts.row_best == nullptr) continue;
            float& best = counts.row_best[row + i];
            best = highest(tile.row(i), tile.columns(), best);
          }
        });
      });
      at::parallel_for(0, tile.columns(), kGrain, [&](std::int64_t begin, std::int64_t end) {
        vectorized([&] {
          for (const RankCount& count : counts.columns) count_columns(count, tile, begin, end);
          if (counts.column_best != nullptr) best_of_columns(counts.column_best, tile, begin, end);
        });
      });
    }
  }
}

}  // namespace saferclip
