// Batches with cropped pictures, whose cached reference embeddings no longer apply.
#pragma once

#include <cstdint>

#include "saferclip/core/preprocessing.h"
#include "saferclip/data/batch.h"
#include "saferclip/model/clip_model.h"

namespace saferclip {

// A frozen model that embeds what the tuned one sees; it must outlive its use.
struct LiveReference {
  const ClipModel* model = nullptr;  // null: the objective uses no reference
  Preprocessing preprocessing;
  std::int64_t block = 1;           // pictures embedded at a time
  bool embeds_unsafe_image = true;  // false: no term reads V0(v*)
  const StopFlag* stop = nullptr;
};

// Crops the pictures of a batch, which is already on its device, to its boxes. V0(v) and V0(v*) are
// embedded again from the crops: fp32, no gradient, L2-normalized, zero where a row has no unsafe
// picture, undefined where no term reads them. Texts, targets and anchors are unchanged.
Batch augment_batch(const Batch& batch, const LiveReference& reference);

}  // namespace saferclip
