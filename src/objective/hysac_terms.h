// The seven terms of HySAC (arXiv 2503.12127), as functions of un-normalized embeddings.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>

#include "saferclip/core/lorentz.h"
#include "saferclip/core/quadruplet.h"

namespace saferclip {

// Legend: B rows, D embedding width.
struct HysacRows {
  EmbeddingRows tuned;     // [B, D]; rows without an unsafe picture hold any finite values there
  LorentzScalars scalars;  // 0-d
  // [B], 0 or 1: rows in the terms with an unsafe caption, and those with an unsafe picture too.
  at::Tensor with_unsafe;
  at::Tensor with_unsafe_image;
  // Counts over the whole batch, by which the sums are divided.
  double rows = 0;
  double unsafe_rows = 0;
  double unsafe_image_rows = 0;
};

// Lifts all rows once. Values are float64, 0-d.
class HysacTerms {
 public:
  explicit HysacTerms(const HysacRows& rows);

  // contrast_safe C(v, t), contrast_unsafe C(v*, t*), contrast_unsafe_image C(v*, t),
  // contrast_unsafe_text C(v, t*), entail_safe E(t ⊐ v), entail_unsafe E(t* ⊐ v*), entail_cross
  // E(v ⊐ t*). C is the symmetric contrast by Lorentz distances, E(x ⊐ y) how far y lies outside
  // the cone of x. Throws Error for another name.
  at::Tensor value(const std::string& term) const;

 private:
  at::Tensor mean(const at::Tensor& values) const;
  at::Tensor text_mean(const at::Tensor& values) const;
  at::Tensor image_mean(const at::Tensor& values) const;

  HysacRows rows_;
  at::Tensor c_;
  at::Tensor scale_;
  EmbeddingRows points_;
};

}  // namespace saferclip
