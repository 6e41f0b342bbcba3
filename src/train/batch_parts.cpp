// Part k of a slice is its rows from k times the micro-batch on.
#include "train/batch_parts.h"

#include <algorithm>

namespace saferclip {
namespace {

Slice slice_of_rank(const Batch& batch, int rank) {
  return slice_of(batch.total_rows, rank, batch.share.size);
}

std::int64_t largest_slice(const Batch& batch) { return slice_of_rank(batch, 0).size(); }

}  // namespace

std::vector<std::int64_t> BatchPart::row_counts() const {
  std::vector<std::int64_t> counts;
  counts.reserve(rows.size());
  for (const Slice& slice : rows) counts.push_back(slice.size());
  return counts;
}

std::int64_t part_count(const Batch& batch, std::optional<std::int64_t> micro_batch) {
  if (!micro_batch) return 1;
  return std::max<std::int64_t>(1, (largest_slice(batch) + *micro_batch - 1) / *micro_batch);
}

BatchPart part_of(const Batch& batch, std::int64_t part, std::optional<std::int64_t> micro_batch) {
  const std::int64_t size = micro_batch.value_or(largest_slice(batch));
  BatchPart result;
  for (int rank = 0; rank < batch.share.size; ++rank) {
    const Slice all = slice_of_rank(batch, rank);
    result.rows.push_back({std::min(all.begin + part * size, all.end),
                           std::min(all.begin + (part + 1) * size, all.end)});
  }
  const Slice& own = result.rows[static_cast<std::size_t>(batch.share.rank)];
  const std::int64_t first = slice_of_rank(batch, batch.share.rank).begin;
  const bool is_whole = part == 0 && size >= largest_slice(batch);
  result.own = is_whole ? batch : slice_batch(batch, own.begin - first, own.end - first);
  result.constants =
      is_whole ? static_cast<const LossConstants&>(batch) : constants_of(batch, result.rows);
  if (part > 0) {
    result.own.anchor_ids = result.own.anchor_ends = result.own.anchor_pixels = at::Tensor();
  }
  return result;
}

BatchPart whole_part(const Batch& batch) { return part_of(batch, 0, std::nullopt); }

Batch safe_half(const Batch& batch, bool has_anchors) {
  Batch half = batch;
  half.unsafe_pixels = half.unsafe_boxes = half.unsafe_rows = at::Tensor();
  half.unsafe_ids = half.unsafe_ends = at::Tensor();
  half.unsafe_positions.clear();
  if (!has_anchors) half.anchor_ids = half.anchor_ends = half.anchor_pixels = at::Tensor();
  return half;
}

}  // namespace saferclip
