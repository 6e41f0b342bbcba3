// One step's rows, gathered from the caches into plain tensors. Of several processes each embeds a
// slice of the rows and of the anchors, and computes the losses of all. Legend: B rows of this
// process, U of them with an unsafe picture, L tokens, S image side, A anchors of this process.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <initializer_list>
#include <vector>

#include "saferclip/core/quadruplet.h"
#include "saferclip/core/slices.h"
#include "saferclip/data/caches.h"
#include "saferclip/data/host_memory.h"

namespace saferclip {

// What the first dimension of a batch tensor counts: what this process embeds, or kAll: rows or
// anchors of all processes.
enum class BatchAxis { kRow, kUnsafePicture, kAnchor, kAll };

// One of several equal parts, which share a batch.
struct BatchShare {
  int rank = 0;
  int size = 1;
};

// The loss constants are those of all rows and anchors.
struct Batch : LossConstants {
  std::int64_t step = 0;
  BatchShare share;
  std::int64_t total_rows = 0;     // of all processes
  std::vector<std::int64_t> rows;  // manifest rows of this process
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
  at::Tensor anchor_ids;     // int32 [A, L]
  at::Tensor anchor_ends;    // int64 [A]
  at::Tensor anchor_pixels;  // uint8 [A, S, S, 3]
  // int64 [K]: the distinct token ids of all processes; undefined if there is only one. No other
  // row of the token embedding has a gradient.
  at::Tensor used_ids;
  double redirected_rows = 0;  // sums of the two flags over the whole batch, known on the host
  double redirected_rows_with_unsafe_image = 0;
  LabelCounts labels;  // of the whole batch too

  // Calls `visit` with each defined tensor and the axis of its first dimension. A tensor added to
  // the batch must be listed here: then it is sliced and moved with the others.
  template <class Visit>
  void for_each_tensor(Visit&& visit) {
    const auto all = [&](BatchAxis axis, std::initializer_list<at::Tensor*> tensors) {
      for (at::Tensor* tensor : tensors) {
        if (tensor->defined()) visit(*tensor, axis);
      }
    };
    for_each_of_rows([&](at::Tensor& tensor) { all(BatchAxis::kAll, {&tensor}); });
    all(BatchAxis::kAll, {&reference_anchor_text, &reference_anchor_image, &used_ids});
    all(BatchAxis::kRow,
        {&safe_pixels, &safe_boxes, &safe_ids, &safe_ends, &unsafe_ids, &unsafe_ends});
    all(BatchAxis::kUnsafePicture, {&unsafe_pixels, &unsafe_boxes, &unsafe_rows});
    all(BatchAxis::kAnchor, {&anchor_ids, &anchor_ends, &anchor_pixels});
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

// The labels of the given rows' unsafe captions and pictures, 0 or 1, fp32 [B], in `memory`.
struct RowLabels {
  at::Tensor caption;
  at::Tensor image;
};
RowLabels gather_labels(const Manifest& manifest, const std::vector<std::int64_t>& rows,
                        HostMemory memory);

// Gathers batches from the caches. Holds references: the caches must outlive it.
class BatchSource {
 public:
  BatchSource(const SplitData& split, const TargetCache& targets, const AnchorCache& anchors,
              const RowNeeds& needs, std::int64_t anchors_per_step, std::uint64_t seed);

  // The rows of a step. `is_redirected`: whether they train their redirection terms, one by one.
  struct Rows {
    std::int64_t step = 0;
    std::vector<std::int64_t> rows;
    std::vector<bool> is_redirected;
  };
  // Anchors and boxes are pure functions of (seed, step), whatever the share. The tensors lie in
  // `memory`.
  Batch gather(const Rows& all, HostMemory memory, const BatchShare& share = {}) const;

 private:
  // What a kind of captions adds, those of other processes included.
  struct Cut {
    std::int64_t length = 0;
    at::Tensor all_ids;  // int32 [N, context]
  };
  Cut gather_unsafe(Batch& batch, const Rows& all, HostMemory memory) const;
  Cut gather_anchors(Batch& batch, HostMemory memory) const;

  const SplitData& split_;
  const TargetCache& targets_;
  const AnchorCache& anchors_;
  RowNeeds needs_;
  std::int64_t anchors_per_step_;
  std::uint64_t seed_;
};

// Rows [begin, end) of this process as views; only the first part (begin 0) keeps the anchors. The
// loss constants stay those of all rows.
Batch slice_batch(const Batch& batch, std::int64_t begin, std::int64_t end);
// The loss constants of some of all rows, in the order of `rows`.
LossConstants constants_of(const LossConstants& all, const std::vector<Slice>& rows);

// The batch on another device; transfers from pinned memory do not block.
Batch move_batch(const Batch& batch, at::Device device);

}  // namespace saferclip
