// Metrics of one space come from the Gram matrix XᵀX [D, D] and the sum of the rows, in float64:
// the N x N cosines and an SVD of X are never formed. Singular values are the roots of the Gram
// matrix's eigenvalues. Neighbors need all cosines, and take those of a few hundred rows at a time.
#include "saferclip/eval/space.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <functional>
#include <iterator>
#include <numeric>
#include <vector>

namespace saferclip {
namespace {

constexpr std::int64_t kRowsAtOnce = 512;  // rows converted to float64 at a time

void in_chunks(std::int64_t rows, const std::function<void(std::int64_t, std::int64_t)>& visit) {
  for (std::int64_t begin = 0; begin < rows; begin += kRowsAtOnce) {
    visit(begin, std::min(kRowsAtOnce, rows - begin));
  }
}

// The k nearest of each row [begin, begin + size) in ascending order of index. Cosines in float64,
// because in fp32 rounding would decide between rows that are equally near.
std::vector<std::vector<std::int64_t>> nearest_rows(const at::Tensor& rows, std::int64_t begin,
                                                    std::int64_t size, std::int64_t k) {
  const std::int64_t count = rows.size(0);
  const at::Tensor scores = at::mm(rows.narrow(0, begin, size), rows.t()).contiguous();
  std::vector<std::int64_t> order(static_cast<std::size_t>(count) - 1);
  std::vector<std::vector<std::int64_t>> nearest;
  for (std::int64_t i = 0; i < size; ++i) {
    const double* row = scores.const_data_ptr<double>() + i * count;
    std::iota(order.begin(), order.end(), 0);
    for (std::size_t j = static_cast<std::size_t>(begin + i); j < order.size(); ++j) ++order[j];
    std::partial_sort(order.begin(), order.begin() + k, order.end(), [row](auto a, auto b) {
      return row[a] > row[b] || (row[a] == row[b] && a < b);
    });
    nearest.emplace_back(order.begin(), order.begin() + k);
    std::ranges::sort(nearest.back());
  }
  return nearest;
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
  if (n > 1) space.spread = (squares - sum.square().sum().item<double>() / n) / (n - 1);
  const at::Tensor singular = at::linalg_eigvalsh(gram).clamp_min(0).sqrt();
  const at::Tensor share = singular / singular.sum().clamp_min(1e-300);
  space.effective_rank = (-(share * share.clamp_min(1e-300).log()).sum()).exp().item<double>();
  return space;
}

double neighbour_jaccard(const at::Tensor& before, const at::Tensor& after, std::int64_t k) {
  const at::NoGradGuard guard;
  const std::int64_t rows = before.size(0);
  const std::int64_t others = std::min(k, rows - 1);
  const at::Tensor x = before.to(at::kDouble), y = after.to(at::kDouble);
  double sum = 0;
  in_chunks(rows, [&](std::int64_t begin, std::int64_t size) {
    const auto then = nearest_rows(x, begin, size, others);
    const auto now = nearest_rows(y, begin, size, others);
    for (std::size_t i = 0; i < then.size(); ++i) {
      std::vector<std::int64_t> both;
      std::ranges::set_intersection(then[i], now[i], std::back_inserter(both));
      const auto kept = static_cast<double>(both.size());
      sum += kept / (2 * static_cast<double>(others) - kept);
    }
  });
  return sum / static_cast<double>(rows);
}

}  // namespace saferclip
