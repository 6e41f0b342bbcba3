// Masks are multiplied in, as in loss_set.cpp: selecting rows would have to wait for a GPU.
#include "objective/hysac_terms.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "saferclip/core/error.h"
#include "saferclip/objective/lorentz.h"

namespace saferclip {
namespace {

at::Tensor mean_of_marked(const at::Tensor& values, const at::Tensor& mask, double count) {
  return (values * mask).sum() / std::max(count, 1.0);
}

}  // namespace

HysacTerms::HysacTerms(const HysacRows& rows) : rows_(rows) {
  const LorentzScalars& s = rows_.scalars;
  c_ = s.curvature.to(at::kDouble).exp();
  scale_ = s.logit_scale.to(at::kDouble).exp();
  const EmbeddingRows& tuned = rows_.tuned;
  points_ = {lift_embeddings(tuned.safe_text, s.alpha_text, c_),
             lift_embeddings(tuned.safe_image, s.alpha_image, c_),
             lift_embeddings(tuned.unsafe_text, s.alpha_text, c_),
             lift_embeddings(tuned.unsafe_image, s.alpha_image, c_)};
}

at::Tensor HysacTerms::mean(const at::Tensor& values) const { return values.sum() / rows_.rows; }

at::Tensor HysacTerms::text_mean(const at::Tensor& values) const {
  return mean_of_marked(values, rows_.with_unsafe, rows_.unsafe_rows);
}

at::Tensor HysacTerms::image_mean(const at::Tensor& values) const {
  return mean_of_marked(values, rows_.with_unsafe_image, rows_.unsafe_image_rows);
}

at::Tensor HysacTerms::value(const std::string& term) const {
  const auto& [t, v, unsafe_t, unsafe_v] = points_;
  const at::Tensor& with_text = rows_.with_unsafe;
  const at::Tensor& with_image = rows_.with_unsafe_image;
  const auto contrast = [&](const at::Tensor& a, const at::Tensor& b, const at::Tensor& mask) {
    return lorentz_contrast(a, b, c_, scale_, mask);
  };
  if (term == "contrast_safe") return mean(contrast(v, t, {}));
  if (term == "contrast_unsafe") return image_mean(contrast(unsafe_v, unsafe_t, with_image));
  if (term == "contrast_unsafe_image") return image_mean(contrast(unsafe_v, t, with_image));
  if (term == "contrast_unsafe_text") return text_mean(contrast(v, unsafe_t, with_text));
  if (term == "entail_safe") return mean(outside_cone(t, v, c_));
  if (term == "entail_unsafe") return image_mean(outside_cone(unsafe_t, unsafe_v, c_));
  if (term == "entail_cross") return text_mean(outside_cone(v, unsafe_t, c_));
  throw Error("hysac has no term " + term + "; this is a bug, please report it", 1);
}

}  // namespace saferclip
