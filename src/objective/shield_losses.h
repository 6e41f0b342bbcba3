// The five terms of ShieldCLIP (arXiv 2609.39688). Labels say of each unsafe caption and picture
// whether it is unsafe indeed, and a term takes the rows of one kind. With C the symmetric InfoNCE:
//   real   −cos(V(v), V0(v)) − cos(T(t), T0(t)) + 2 C(V(v), T0(t)) + 2 C(T(t), V0(v))      all rows
//   safe   −cos(V(v*), V0(v*)) where the picture is safe, −cos(T(t*), T0(t*)) where the caption is,
//          + 2 C(V(v*), T0(t*)) + 2 C(T(t*), V0(v*)) where both are
//   redir  −cos(V(v*), V0(v̂)) where the picture is unsafe, −cos(T(t*), T0(t̂)) where the caption is
//   mix    2 C(V(v*), T0(t*)) where the picture alone is, 2 C(T(t*), V0(v*)) where the caption
//          alone is
//   coh    2 C(T(t*), V(v*)) where both are
// Each part is a mean over its rows, and an InfoNCE part draws its negatives from them. No row: 0.
#pragma once

#include <ATen/core/Tensor.h>

#include "saferclip/objective/loss_set.h"

namespace saferclip {

class ShieldTerms {
 public:
  // V(v*) and V0(v*) with finite values in the rows without an unsafe picture.
  struct UnsafePictures {
    at::Tensor tuned;
    at::Tensor reference;
  };
  // [B], 0 or 1: the redirected rows, and those of them that have an unsafe picture.
  struct UnsafeRows {
    at::Tensor all;
    at::Tensor with_picture;
  };
  // `inputs` and `counts` must outlive it.
  ShieldTerms(const LossInputs& inputs, UnsafePictures pictures, const UnsafeRows& rows,
              const LossCounts& counts);

  at::Tensor real() const;
  at::Tensor safe() const;
  at::Tensor redir() const;
  at::Tensor mix() const;
  at::Tensor coh() const;

 private:
  // Rows of one kind: their mask [B], and how many the whole batch has.
  struct Kind {
    at::Tensor mask;
    double count = 0;
  };
  at::Tensor contrast(const at::Tensor& a, const at::Tensor& b, const Kind& kind) const;

  const LossInputs& in_;
  UnsafePictures pictures_;
  Kind all_;
  Kind safe_captions_, unsafe_captions_, safe_images_, unsafe_images_;
  Kind both_safe_, only_caption_unsafe_, only_image_unsafe_, both_unsafe_;
};

}  // namespace saferclip
