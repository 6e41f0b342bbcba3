// One step's rows, gathered from the caches into plain tensors. Legend: B rows, U rows with an
// unsafe picture, L tokens, S image side, E embedding width, A anchors.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <initializer_list>
#include <vector>

#include "saferclip/core/quadruplet.h"
#include "saferclip/data/caches.h"
#include "saferclip/data/host_memory.h"

namespace saferclip {

// What the first dimension of a batch tensor counts.
enum class BatchAxis { kRow, kUnsafePicture, kAnchor };

struct Batch : LossConstants {
  std::int64_t step = 0;
  std::vector<std::int64_t> rows;  // manifest rows
  at::Tensor safe_pixels;          // uint8 [B, S, S, 3]
  at::Tensor unsafe_pixels;        // uint8 [U, S, S, 3]
  at::Tensor safe_boxes;           // fp32 [B, 4]: what to cut out of the pictures (crops.h);
  at::Tensor unsafe_boxes;         // fp32 [U, 4]: undefined when they are not cropped
  at::Tensor unsafe_rows;          // int64 [U]: positions in the batch, ascending
  std::vector<std::int64_t> unsafe_positions;  // the same on the host, for slicing
  at::Tensor safe_ids;                         // int32 [B, L]
  at::Tensor safe_ends;                        // int64 [B]
  at::Tensor unsafe_ids;
  at::Tensor unsafe_ends;
  at::Tensor anchor_ids;       // int32 [A, L]
  at::Tensor anchor_ends;      // int64 [A]
  at::Tensor anchor_pixels;    // uint8 [A, S, S, 3]
  double redirected_rows = 0;  // sums of the two flags over the whole batch, known on the host
  double redirected_rows_with_unsafe_image = 0;

  // Calls `visit` with each defined tensor and the axis of its first dimension. A tensor added to
  // the batch must be listed here: then it is sliced and moved with the others.
  template <class Visit>
  void for_each_tensor(Visit&& visit) {
    const auto all = [&](BatchAxis axis, std::initializer_list<at::Tensor*> tensors) {
      for (at::Tensor* tensor : tensors) {
        if (tensor->defined()) visit(*tensor, axis);
      }
    };
    reference.for_each([&](at::Tensor& tensor) { all(BatchAxis::kRow, {&tensor}); });
    all(BatchAxis::kRow,
        {&safe_pixels, &safe_boxes, &safe_ids, &safe_ends, &unsafe_ids, &unsafe_ends, &target_text,
         &target_image, &has_unsafe_image, &is_redirected});
    all(BatchAxis::kUnsafePicture, {&unsafe_pixels, &unsafe_boxes, &unsafe_rows});
    all(BatchAxis::kAnchor, {&anchor_ids, &anchor_ends, &anchor_pixels, &reference_anchor_text,
                             &reference_anchor_image});
  }
};

// T0(t̂) and V0(v̂) of the given rows of a split, fp32 [B, E], in `memory`.
struct TargetRows {
  at::Tensor text;
  at::Tensor image;
};
TargetRows gather_targets(const TargetCache& targets, const ReferenceCache& split,
                          const ReferenceCache& pool, const std::vector<std::int64_t>& rows,
                          HostMemory memory);

// Gathers batches from the caches. Holds references: the caches must outlive it.
class BatchSource {
 public:
  BatchSource(const SplitData& split, const TargetCache& targets, const AnchorCache& anchors,
              const RowNeeds& needs, std::int64_t anchors_per_step, std::uint64_t seed);

  // `redirected[i]`: whether rows[i] trains its redirection terms. Anchors and boxes are pure
  // functions of (seed, step). The tensors lie in `memory`.
  Batch gather(std::int64_t step, const std::vector<std::int64_t>& rows,
               const std::vector<bool>& redirected, HostMemory memory) const;

 private:
  // Each returns the cut length of its captions.
  std::int64_t gather_unsafe(Batch& batch, const std::vector<bool>& redirected,
                             HostMemory memory) const;
  std::int64_t gather_anchors(Batch& batch, HostMemory memory) const;

  const SplitData& split_;
  const TargetCache& targets_;
  const AnchorCache& anchors_;
  RowNeeds needs_;
  std::int64_t anchors_per_step_;
  std::uint64_t seed_;
};

// Rows [begin, end) of a batch as views; only the first part (begin 0) keeps the anchors.
Batch slice_batch(const Batch& batch, std::int64_t begin, std::int64_t end);

// The batch on another device; transfers from pinned memory do not block.
Batch move_batch(const Batch& batch, at::Device device);

}  // namespace saferclip
