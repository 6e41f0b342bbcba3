// Masks are multiplied in, as in the loss set, so that no step waits for the device. A row outside
// a kind is neither a negative of the others nor counted; a kind's single row has InfoNCE 0 by
// itself.
#include "objective/shield_losses.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <utility>

#include "saferclip/objective/losses.h"

namespace saferclip {
namespace {

at::Tensor mean_over(const at::Tensor& values, const at::Tensor& mask, double count) {
  return (values * mask).sum() / std::max(count, 1.0);
}

at::Tensor labels_or_ones(const at::Tensor& labels, const at::Tensor& like) {
  return labels.defined() ? labels.to(like.dtype()) : at::ones_like(like);
}

}  // namespace

ShieldTerms::ShieldTerms(const LossInputs& inputs, UnsafePictures pictures, const UnsafeRows& rows,
                         const LossCounts& counts)
    : in_(inputs), pictures_(std::move(pictures)), all_{at::ones_like(rows.all), counts.rows} {
  const at::Tensor caption = labels_or_ones(inputs.unsafe_caption_label, rows.all);
  const at::Tensor image = labels_or_ones(inputs.unsafe_image_label, rows.all);
  const at::Tensor& shown = rows.with_picture;
  const LabelCounts& n = counts.labels;
  safe_captions_ = {rows.all * (1 - caption), n.safe_captions};
  unsafe_captions_ = {rows.all * caption, n.unsafe_captions};
  safe_images_ = {shown * (1 - image), n.safe_images};
  unsafe_images_ = {shown * image, n.unsafe_images};
  both_safe_ = {shown * (1 - caption) * (1 - image), n.both_safe};
  only_caption_unsafe_ = {shown * caption * (1 - image), n.only_caption_unsafe};
  only_image_unsafe_ = {shown * (1 - caption) * image, n.only_image_unsafe};
  both_unsafe_ = {shown * caption * image, n.both_unsafe};
}

at::Tensor ShieldTerms::contrast(const at::Tensor& a, const at::Tensor& b, const Kind& kind) const {
  return 2 * mean_over(symmetric_infonce(a, b, in_.logit_scale, kind.mask), kind.mask, kind.count);
}

at::Tensor ShieldTerms::real() const {
  const EmbeddingRows& t = in_.tuned;
  const EmbeddingRows& r = in_.reference;
  const at::Tensor kept =
      cosine_rows(t.safe_image, r.safe_image) + cosine_rows(t.safe_text, r.safe_text);
  return contrast(t.safe_image, r.safe_text, all_) + contrast(t.safe_text, r.safe_image, all_) -
         mean_over(kept, all_.mask, all_.count);
}

at::Tensor ShieldTerms::safe() const {
  const at::Tensor& text = in_.tuned.unsafe_text;
  const at::Tensor& text_before = in_.reference.unsafe_text;
  const at::Tensor kept =
      mean_over(cosine_rows(pictures_.tuned, pictures_.reference), safe_images_.mask,
                safe_images_.count) +
      mean_over(cosine_rows(text, text_before), safe_captions_.mask, safe_captions_.count);
  return contrast(pictures_.tuned, text_before, both_safe_) +
         contrast(text, pictures_.reference, both_safe_) - kept;
}

at::Tensor ShieldTerms::redir() const {
  const at::Tensor images = cosine_rows(pictures_.tuned, in_.target_image);
  const at::Tensor texts = cosine_rows(in_.tuned.unsafe_text, in_.target_text);
  return -(mean_over(images, unsafe_images_.mask, unsafe_images_.count) +
           mean_over(texts, unsafe_captions_.mask, unsafe_captions_.count));
}

at::Tensor ShieldTerms::mix() const {
  return contrast(pictures_.tuned, in_.reference.unsafe_text, only_image_unsafe_) +
         contrast(in_.tuned.unsafe_text, pictures_.reference, only_caption_unsafe_);
}

at::Tensor ShieldTerms::coh() const {
  return contrast(in_.tuned.unsafe_text, pictures_.tuned, both_unsafe_);
}

}  // namespace saferclip
