// Each equation is in losses.h. Numerics: relative losses use softplus, which does not overflow;
// InfoNCE uses logsumexp; excluded entries get -1e9 instead of -infinity, because a row of nothing
// but -infinity has NaN gradients.
#include "saferclip/objective/losses.h"

#include <ATen/ATen.h>

#include <algorithm>

namespace saferclip {
namespace {

// Stands for −∞ in logits.
constexpr double kExcluded = -1e9;

at::Tensor similarities_to_others(const at::Tensor& rows) {
  const at::Tensor x = normalise_rows(rows);
  return at::mm(x, x.t()).masked_fill(at::eye(x.size(0), x.options()).ne(0), kExcluded);
}

}  // namespace

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

at::Tensor relative_redirection_from_all(const at::Tensor& query, const at::Tensor& negatives,
                                         const at::Tensor& positive, double scale,
                                         const at::Tensor& mask) {
  const at::Tensor q = normalise_rows(query);
  const at::Tensor to_positive = (q * normalise_rows(positive)).sum(1, true);
  const at::Tensor differences = (at::mm(q, normalise_rows(negatives).t()) - to_positive) * scale;
  return at::softplus(
      at::logsumexp(differences.masked_fill(mask.eq(0).unsqueeze(0), kExcluded), {1}));
}

at::Tensor symmetric_infonce(const at::Tensor& a, const at::Tensor& b, const at::Tensor& scale,
                             const at::Tensor& mask) {
  at::Tensor logits = scale * at::mm(normalise_rows(a), normalise_rows(b).t());
  if (mask.defined()) {
    const at::Tensor is_out = mask.eq(0);
    logits = logits.masked_fill(is_out.unsqueeze(0).logical_or(is_out.unsqueeze(1)), kExcluded);
  }
  const at::Tensor own = logits.diagonal();
  return ((at::logsumexp(logits, {1}) - own) + (at::logsumexp(logits, {0}) - own)) / 2;
}

at::Tensor sigmoid_contrast(const at::Tensor& a, const at::Tensor& b, const at::Tensor& scale,
                            const at::Tensor& bias) {
  const at::Tensor logits = scale * at::mm(normalise_rows(a), normalise_rows(b).t()) + bias;
  const at::Tensor sign = at::eye(logits.size(0), logits.options()) * 2 - 1;
  return -at::log_sigmoid(sign * logits).sum(1);
}

at::Tensor similarity_distribution(const at::Tensor& tuned, const at::Tensor& reference,
                                   double scale) {
  const at::Tensor expected = at::log_softmax(similarities_to_others(reference) * scale, 1);
  const at::Tensor found = at::log_softmax(similarities_to_others(tuned) * scale, 1);
  return (expected.exp() * (expected - found)).sum(1);
}

at::Tensor similarity_to_neighbours(const at::Tensor& tuned, const at::Tensor& reference,
                                    std::int64_t k) {
  const std::int64_t others = std::min(k, tuned.size(0) - 1);
  if (others < 1) return tuned.sum(1) * 0;
  const at::Tensor expected = similarities_to_others(reference);
  const auto [nearest, index] = expected.topk(others, 1);
  return (similarities_to_others(tuned).gather(1, index) - nearest).square().mean(1);
}

}  // namespace saferclip
