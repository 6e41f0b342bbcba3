// Both metrics come from the Gram matrix XᵀX [D, D] and the sum of the rows, in float64: the N x N
// cosines and an SVD of X are never formed. Singular values are the roots of the Gram matrix's
// eigenvalues.
#include "saferclip/eval/space.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <functional>

namespace saferclip {
namespace {

constexpr std::int64_t kRowsAtOnce = 512;  // rows converted to float64 at a time

void in_chunks(std::int64_t rows, const std::function<void(std::int64_t, std::int64_t)>& visit) {
  for (std::int64_t begin = 0; begin < rows; begin += kRowsAtOnce) {
    visit(begin, std::min(kRowsAtOnce, rows - begin));
  }
}

}  // namespace

double mean_cosine(const at::Tensor& a, const at::Tensor& b) {
  double sum = 0;
  in_chunks(a.size(0), [&](std::int64_t begin, std::int64_t size) {
    sum += (a.narrow(0, begin, size) * b.narrow(0, begin, size))
               .sum(1)
               .to(at::kDouble)
               .sum()
               .item<double>();
  });
  return sum / static_cast<double>(a.size(0));
}

EmbeddingSpace measure_space(const at::Tensor& rows) {
  const at::NoGradGuard guard;
  const auto n = static_cast<double>(rows.size(0));
  at::Tensor gram = at::zeros({rows.size(1), rows.size(1)}, at::kDouble);
  at::Tensor sum = at::zeros({rows.size(1)}, at::kDouble);
  in_chunks(rows.size(0), [&](std::int64_t begin, std::int64_t size) {
    const at::Tensor part = rows.narrow(0, begin, size).to(at::kDouble);
    gram.addmm_(part.t(), part);
    sum.add_(part.sum(0));
  });
  EmbeddingSpace space;
  // Σ_i≠j x_i · x_j = |Σ x|² − Σ |x|²
  const double squares = gram.diagonal().sum().item<double>();
  if (n > 1) space.mean_cosine = (sum.square().sum().item<double>() - squares) / (n * (n - 1));
  const at::Tensor singular = at::linalg_eigvalsh(gram).clamp_min(0).sqrt();
  const at::Tensor share = singular / singular.sum().clamp_min(1e-300);
  space.effective_rank = (-(share * share.clamp_min(1e-300).log()).sum()).exp().item<double>();
  return space;
}

}  // namespace saferclip
