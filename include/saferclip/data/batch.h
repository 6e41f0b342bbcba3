// One step's rows, gathered from the caches into plain tensors. Legend: B rows, U rows that have
// their unsafe picture, L tokens, S image side, E embedding width, A anchors.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "saferclip/data/caches.h"

namespace saferclip {

struct Batch {
  std::int64_t step = 0;
  std::vector<std::int64_t> rows;  // manifest rows
  at::Tensor safe_pixels;          // uint8 [B, S, S, 3]
  at::Tensor unsafe_pixels;        // uint8 [U, S, S, 3]
  at::Tensor safe_boxes;           // fp32 [B, 4]: what to cut out of the pictures (crops.h);
  at::Tensor unsafe_boxes;         // fp32 [U, 4]: undefined when they are not cropped
  at::Tensor unsafe_rows;          // int64 [U]: positions in the batch, ascending
  at::Tensor safe_ids;             // int32 [B, L]
  at::Tensor safe_ends;            // int64 [B]
  at::Tensor unsafe_ids;
  at::Tensor unsafe_ends;
  at::Tensor has_unsafe_image;  // fp32 [B], 0 or 1
  at::Tensor is_redirected;     // fp32 [B], 0 or 1
  double redirected_rows = 0;   // sums of the two flags over the whole batch, known on the host
  double redirected_rows_with_unsafe_image = 0;
  at::Tensor reference_safe_text, reference_safe_image;      // fp32 [B, E]
  at::Tensor reference_unsafe_text, reference_unsafe_image;  // fp32 [B, E]
  at::Tensor target_text, target_image;                      // fp32 [B, E]: T0(t̂), V0(v̂)
  at::Tensor anchor_ids, anchor_ends, anchor_text;           // int32 [A, L], int64 [A], fp32 [A, E]
  at::Tensor anchor_pixels, anchor_image;                    // uint8 [A, S, S, 3], fp32 [A, E]
};

// T0(t̂) and V0(v̂) of some rows of a split, fp32 [B, E]. Memory is pinned when `pin` is set.
struct TargetRows {
  at::Tensor text;
  at::Tensor image;
};
TargetRows gather_targets(const TargetCache& targets, const ReferenceCache& split,
                          const ReferenceCache& pool, const std::vector<std::int64_t>& rows,
                          bool pin);

// What a batch must carry.
struct BatchParts {
  bool unsafe = false;     // unsafe captions and pictures
  bool reference = false;  // reference embeddings of the rows
  bool targets = false;
  bool anchor_text = false;
  bool anchor_image = false;
  bool crops = false;  // boxes for the pictures
};

// Where batches come from. The tensors are shared with the caches, not copied.
class BatchSource {
 public:
  BatchSource(const SplitData& split, const TargetCache& targets, const AnchorCache& anchors,
              BatchParts parts, std::int64_t anchors_per_step, std::uint64_t seed);

  // `redirected[i]` says whether rows[i] trains its redirection terms. Anchors and
  // boxes are drawn as functions of (seed, step). Memory is pinned when `pin` is set.
  Batch gather(std::int64_t step, const std::vector<std::int64_t>& rows,
               const std::vector<bool>& redirected, bool pin) const;

 private:
  const SplitData& split_;
  const TargetCache& targets_;
  const AnchorCache& anchors_;
  BatchParts parts_;
  std::int64_t anchors_per_step_;
  std::uint64_t seed_;
};

// Rows [begin, end) of a batch as views; anchors stay with the first part only.
Batch slice_batch(const Batch& batch, std::int64_t begin, std::int64_t end);

// The batch on another device; transfers from pinned memory do not block.
Batch move_batch(const Batch& batch, at::Device device);

}  // namespace saferclip
