// The micro-batches of a step, in one process or in several.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "saferclip/data/batch.h"

namespace saferclip {

// What one pass takes: the micro-batch of this process, and which rows of the batch the equally
// numbered micro-batches of all processes have, by rank. The terms of a loss see all of these rows.
struct BatchPart {
  Batch own;
  std::vector<Slice> rows;
  LossConstants constants;  // of all these rows; anchors in the first part alone
  bool is_last = false;     // of its step

  std::vector<std::int64_t> row_counts() const;
};

// How many parts a step has: the same number in every process, though a slice may end earlier.
// `micro_batch`: rows of a process in a pass; none: all.
std::int64_t part_count(const Batch& batch, std::optional<std::int64_t> micro_batch);

BatchPart part_of(const Batch& batch, std::int64_t part, std::optional<std::int64_t> micro_batch);

// All rows in one part.
BatchPart whole_part(const Batch& batch);

// The safe half of the batch, with or without its anchors.
Batch safe_half(const Batch& batch, bool has_anchors);

}  // namespace saferclip
