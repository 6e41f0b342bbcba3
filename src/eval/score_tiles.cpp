// A tile of 1024 x 1024 scores (4 MB) stays in the last-level cache while every task counts it,
// once by rows and once by columns. Threads split the rows, then the columns, so each counter has
// one writer and counts do not depend on the number of threads. Comparisons with NaN are false: a
// NaN score never ranks before anything.
#include "eval/score_tiles.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <limits>
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

void count_tile(const Tile& tile, const ScoreCounts& counts) {
  at::parallel_for(0, tile.rows(), kGrain, [&](std::int64_t begin, std::int64_t end) {
    vectorized([&] {
      for (std::int64_t i = begin; i < end; ++i) {
        for (const RankCount& count : counts.rows) count_row(count, tile, i);
        if (counts.row_best == nullptr) continue;
        float& best = counts.row_best[tile.first_row + i];
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

// The tiles are dealt out to the processes one by one.
void count_own_tiles(const at::Tensor& a, const at::Tensor& b, const ScoreCounts& counts,
                     const ScoreWalk& walk) {
  TileMaker maker(a, b, walk.buffer);
  std::int64_t number = 0;
  for (std::int64_t row = 0; row < a.size(0); row += kTile) {
    for (std::int64_t column = 0; column < b.size(0); column += kTile) {
      if (number++ % walk.share.size != walk.share.rank) continue;
      throw_if_stopped(walk.stop, "interrupted during retrieval");
      count_tile(maker.make(row, column), counts);
    }
  }
}

// Counters of one process's tiles, to be added to those of the others: for each task `before` and
// `equal`, then the highest scores.
class OwnCounts {
 public:
  OwnCounts(const ScoreCounts& all, std::int64_t rows, std::int64_t columns)
      : all_(all), rows_(rows), columns_(columns) {
    const auto tasks = static_cast<std::int64_t>(all.rows.size()) * rows +
                       static_cast<std::int64_t>(all.columns.size()) * columns;
    counts_ = at::zeros({1, 2 * tasks}, at::kInt);
    best_ = at::full({1, rows + columns}, -std::numeric_limits<float>::infinity(), at::kFloat);
  }

  ScoreCounts own() {
    ScoreCounts own = all_;
    auto* next = counts_.mutable_data_ptr<std::int32_t>();
    for_each_task(own, [&](RankCount& task, std::int64_t size) {
      task.before = next;
      task.equal = next + size;
      next += 2 * size;
    });
    auto* best = best_.mutable_data_ptr<float>();
    if (own.row_best != nullptr) own.row_best = best;
    if (own.column_best != nullptr) own.column_best = best + rows_;
    return own;
  }

  // Adds the counts of all processes to the caller's.
  void add(const TileShare& share) {
    const at::Tensor counts = share.gather(counts_).sum(0, false, at::kInt);
    const auto* next = counts.const_data_ptr<std::int32_t>();
    for_each_task(all_, [&](RankCount& task, std::int64_t size) {
      for (std::int64_t i = 0; i < size; ++i) task.before[i] += next[i];
      for (std::int64_t i = 0; i < size; ++i) task.equal[i] += next[size + i];
      next += 2 * size;
    });
    if (all_.row_best == nullptr && all_.column_best == nullptr) return;
    const at::Tensor best = std::get<0>(share.gather(best_).max(0));
    const auto* scores = best.const_data_ptr<float>();
    if (all_.row_best != nullptr) highest_into(scores, rows_, all_.row_best);
    if (all_.column_best != nullptr) highest_into(scores + rows_, columns_, all_.column_best);
  }

 private:
  template <class Use>
  void for_each_task(ScoreCounts& counts, const Use& use) const {
    for (RankCount& task : counts.rows) use(task, rows_);
    for (RankCount& task : counts.columns) use(task, columns_);
  }

  ScoreCounts all_;
  std::int64_t rows_;
  std::int64_t columns_;
  at::Tensor counts_;
  at::Tensor best_;
};

}  // namespace

at::Tensor tile_buffer() { return at::empty({kTile * kTile}, at::kFloat); }

at::Tensor pair_scores(const at::Tensor& a, const at::Tensor& b,
                       const std::vector<std::int32_t>& column, const ScoreWalk& walk) {
  at::Tensor scores = at::zeros({a.size(0)}, at::kFloat);
  auto* data = scores.mutable_data_ptr<float>();
  TileMaker maker(a, b, walk.buffer);
  for (std::int64_t first = 0; first < a.size(0); first += kTile) {
    if (first / kTile % walk.share.size != walk.share.rank) continue;
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
  if (walk.share.size == 1) return scores;
  const at::Tensor all = walk.share.gather(scores.unsqueeze(0));
  for (std::int64_t first = 0; first < a.size(0); first += kTile) {
    const std::int64_t count = std::min(kTile, a.size(0) - first);
    scores.narrow(0, first, count)
        .copy_(all[first / kTile % walk.share.size].narrow(0, first, count));
  }
  return scores;
}

void count_scores(const at::Tensor& a, const at::Tensor& b, const ScoreCounts& counts,
                  const ScoreWalk& walk) {
  if (walk.share.size == 1) return count_own_tiles(a, b, counts, walk);
  OwnCounts shared(counts, a.size(0), b.size(0));
  count_own_tiles(a, b, shared.own(), walk);
  shared.add(walk.share);
}

}  // namespace saferclip
