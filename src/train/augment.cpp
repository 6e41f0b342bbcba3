// Random crops, made on the device of the step. Cached reference embeddings belong to whole
// pictures, so the frozen model embeds the crops again, in fp32 and in blocks that bound its
// memory. Captions are not cropped: their cached embeddings, the targets and the anchors stay
// valid.
#include "saferclip/train/augment.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <vector>

#include "saferclip/data/crops.h"
#include "saferclip/model/clip_forward.h"
#include "saferclip/objective/losses.h"

namespace saferclip {
namespace {

at::Tensor embed(const LiveReference& reference, const at::Tensor& pixels) {
  std::vector<at::Tensor> rows;
  ForwardMode mode;
  mode.stop = reference.stop;
  for (std::int64_t begin = 0; begin < pixels.size(0); begin += reference.block) {
    const std::int64_t size = std::min(reference.block, pixels.size(0) - begin);
    rows.push_back(normalise_rows(encode_images(*reference.model, reference.preprocessing,
                                                pixels.narrow(0, begin, size), mode)));
  }
  return rows.empty() ? at::zeros({0, reference.model->geometry.embed_dim},
                                  pixels.options().dtype(at::kFloat))
                      : at::cat(rows);
}

}  // namespace

Batch augment_batch(const Batch& batch, const LiveReference& reference) {
  const at::NoGradGuard guard;
  Batch cropped = batch;
  cropped.safe_pixels = crop_pictures(batch.safe_pixels, batch.safe_boxes);
  if (batch.unsafe_pixels.defined()) {
    cropped.unsafe_pixels = crop_pictures(batch.unsafe_pixels, batch.unsafe_boxes);
  }
  cropped.safe_boxes = cropped.unsafe_boxes = at::Tensor();
  if (reference.model == nullptr) return cropped;
  cropped.reference.safe_image = embed(reference, cropped.safe_pixels);
  cropped.reference.unsafe_image = at::Tensor();
  if (reference.embeds_unsafe_image && cropped.unsafe_pixels.defined()) {
    cropped.reference.unsafe_image =
        at::zeros_like(cropped.reference.safe_image)
            .index_copy_(0, batch.unsafe_rows, embed(reference, cropped.unsafe_pixels));
  }
  return cropped;
}

}  // namespace saferclip
