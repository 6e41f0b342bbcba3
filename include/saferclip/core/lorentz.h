// The four learned numbers of objective hysac, which make hyperbolic embeddings of a model's.
#pragma once

#include <ATen/core/Tensor.h>

namespace saferclip {

// 0-d tensors, logarithms all: the curvature is −exp(curvature); an un-normalized embedding is
// multiplied by exp(alpha_…) before it is lifted; distances by exp(logit_scale) in the losses.
// Undefined: the model has no such numbers.
struct LorentzScalars {
  at::Tensor curvature;
  at::Tensor alpha_text;
  at::Tensor alpha_image;
  at::Tensor logit_scale;

  bool is_defined() const { return curvature.defined(); }

  // Calls `visit` with the name and the member of each.
  template <class Self, class Visit>
  static void for_each(Self& self, Visit&& visit) {
    visit("curvature", self.curvature);
    visit("alpha_text", self.alpha_text);
    visit("alpha_image", self.alpha_image);
    visit("logit_scale", self.logit_scale);
  }
};

}  // namespace saferclip
