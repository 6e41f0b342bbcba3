// Batches with cropped pictures, for which the cached embeddings of the reference are not true.
#pragma once

#include <cstdint>

#include "saferclip/core/preprocessing.h"
#include "saferclip/data/batch.h"
#include "saferclip/model/clip_model.h"

namespace saferclip {

// A frozen model that embeds what the tuned one sees; it must outlive its use.
struct LiveReference {
  const ClipModel* model = nullptr;  // null: the objective compares with no reference
  Preprocessing preprocessing;
  std::int64_t block = 1;           // pictures embedded at a time
  bool embeds_unsafe_image = true;  // false: no term reads V0(v*)
  const StopFlag* stop = nullptr;
};

// The batch, already on its device, with its pictures cut to its boxes. V0(v) and V0(v*) are
// embedded again from the cropped pictures: in fp32, without gradient, L2-normalised, zeros where a
// row has no unsafe picture, undefined where no term reads them. Texts, targets and anchors stay as
// they are.
Batch augment_batch(const Batch& batch, const LiveReference& reference);

}  // namespace saferclip
