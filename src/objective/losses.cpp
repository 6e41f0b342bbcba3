#include "saferclip/objective/losses.h"

#include <ATen/ATen.h>

namespace saferclip {

at::Tensor normalise_rows(const at::Tensor& x) {
  return x / at::norm(x, 2, {1}, true).clamp_min(1e-12);
}

at::Tensor cosine_rows(const at::Tensor& a, const at::Tensor& b) {
  return (normalise_rows(a) * normalise_rows(b)).sum(1);
}

at::Tensor cosine_distance(const at::Tensor& a, const at::Tensor& b) {
  return 1 - cosine_rows(a, b);
}

at::Tensor relative_redirection(const at::Tensor& query, const at::Tensor& negative,
                                const at::Tensor& positive, double scale, double margin) {
  const at::Tensor q = normalise_rows(query);
  const at::Tensor difference = (q * (normalise_rows(negative) - normalise_rows(positive))).sum(1);
  return at::softplus(difference * scale + margin);
}

at::Tensor symmetric_infonce(const at::Tensor& a, const at::Tensor& b, const at::Tensor& scale) {
  const at::Tensor logits = scale * at::mm(normalise_rows(a), normalise_rows(b).t());
  const at::Tensor own = logits.diagonal();
  return ((at::logsumexp(logits, {1}) - own) + (at::logsumexp(logits, {0}) - own)).mean() / 2;
}

}  // namespace saferclip
