// Second moments are summed in blocks of rows, so a large split needs no float64 copy of its
// embeddings. Eigenvectors of Dᵀ D are D's right singular vectors; squaring costs half the digits
// of float64, which is still more than the fp32 rows have.
#include "saferclip/objective/closed_form.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"

namespace saferclip {
namespace {

constexpr std::int64_t kRowsSummedAtOnce = 4096;
// Eigenvalues below this share of the largest are rounding errors of fp32 rows.
constexpr double kRankTolerance = 1e-12;

// Σ a_i b_iᵀ of rows made by a function of a block's bounds, float64.
template <class Rows>
at::Tensor summed_products(std::int64_t count, std::int64_t width, const Rows& rows) {
  at::Tensor sum = at::zeros({width, width}, at::kDouble);
  for (std::int64_t begin = 0; begin < count; begin += kRowsSummedAtOnce) {
    const auto [a, b] = rows(begin, std::min(kRowsSummedAtOnce, count - begin));
    sum.addmm_(a.t(), b);
  }
  return sum;
}

at::Tensor block_of(const at::Tensor& rows, std::int64_t begin, std::int64_t count) {
  return rows.narrow(0, begin, count).to(at::kDouble);
}

at::Tensor moment(const at::Tensor& a, const at::Tensor& b) {
  return summed_products(a.size(0), a.size(1), [&](std::int64_t begin, std::int64_t count) {
    return std::pair(block_of(a, begin, count), block_of(b, begin, count));
  });
}

at::Tensor difference_moment(const at::Tensor& a, const at::Tensor& b) {
  return summed_products(a.size(0), a.size(1), [&](std::int64_t begin, std::int64_t count) {
    at::Tensor difference = block_of(a, begin, count) - block_of(b, begin, count);
    return std::pair(difference, difference);
  });
}

at::Tensor moment_around(const at::Tensor& rows, const at::Tensor& mean) {
  return summed_products(rows.size(0), rows.size(1), [&](std::int64_t begin, std::int64_t count) {
    at::Tensor centered = block_of(rows, begin, count) - mean;
    return std::pair(centered, centered);
  });
}

at::Tensor identity(std::int64_t width) { return at::eye(width, at::kDouble); }

double trace_of(const at::Tensor& matrix) { return matrix.trace().item<double>(); }

// How many eigenvalues (ascending) are more than rounding errors.
std::int64_t numeric_rank(const at::Tensor& eigenvalues) {
  const double largest = eigenvalues[-1].item<double>();
  return largest > 0 ? eigenvalues.gt(kRankTolerance * largest).sum().item<std::int64_t>() : 0;
}

// Σ‖M z_i − y_i‖² out of moments: tr(M Z Mᵀ) − 2 tr(M (Σ z yᵀ)) + tr(Y).
double summed_error(const at::Tensor& map, const at::Tensor& zz, const at::Tensor& zy,
                    const at::Tensor& yy) {
  return trace_of(at::mm(at::mm(map, zz), map.t())) - 2 * trace_of(at::mm(map, zy)) + trace_of(yy);
}

}  // namespace

SolvedMap solve_project(const at::Tensor& safe, const at::Tensor& unsafe, std::int64_t rank,
                        double strength, const std::string& what) {
  const std::int64_t width = safe.size(1);
  const auto [values, vectors] = at::linalg_eigh(difference_moment(unsafe, safe));
  const std::int64_t found = numeric_rank(values);
  if (found < rank) {
    throw DataError(cat("adapter.rank: ", rank, " directions, but the differences between the ",
                        with_commas(safe.size(0)), " unsafe and safe ", what, " span only ", found,
                        "; lower it, or give more rows"));
  }
  const at::Tensor main = vectors.narrow(1, width - rank, rank);
  const double share = (values.narrow(0, width - rank, rank).sum() / values.sum()).item<double>();
  return {identity(width) - strength * at::mm(main, main.t()),
          {{"difference_share", share},
           {"next_share",
            rank < width ? (values[width - rank - 1] / values.sum()).item<double>() : 0.0}}};
}

SolvedMap solve_leace(const at::Tensor& safe, const at::Tensor& unsafe, std::int64_t constant,
                      const std::string& what) {
  const std::int64_t width = safe.size(1);
  const auto count = static_cast<double>(2 * safe.size(0));
  const at::Tensor safe_mean = safe.mean(0, false, at::kDouble);
  const at::Tensor unsafe_mean = unsafe.mean(0, false, at::kDouble);
  const at::Tensor mean = (safe_mean + unsafe_mean) / 2;
  const at::Tensor covariance = (moment_around(safe, mean) + moment_around(unsafe, mean)) / count;
  // Of a balanced class in {0, 1}.
  const at::Tensor sigma = (unsafe_mean - safe_mean) / 4;
  const auto [values, vectors] = at::linalg_eigh(covariance);
  const std::int64_t found = numeric_rank(values);
  if (found < width - constant) {
    throw DataError(cat("adapter.form: leace: the covariance of the ",
                        with_commas(2 * safe.size(0)), " ", what, " of width ", width,
                        " is singular (rank ", found,
                        "), so it has no inverse; give more rows, or use form: ridge"));
  }
  if (sigma.norm().item<double>() <= 1e-9 * mean.norm().item<double>()) {
    throw DataError(cat("adapter.form: leace: safe and unsafe ", what,
                        " have the same mean, so there is nothing to take out"));
  }
  const at::Tensor range = vectors.narrow(1, width - found, found);
  const at::Tensor solved =
      at::mv(range, at::mv(range.t(), sigma) / values.narrow(0, width - found, found));  // Σ⁻¹σ
  const at::Tensor scale = at::dot(solved, sigma);
  const at::Tensor map = identity(width) - at::outer(sigma, solved) / scale;
  return {map,
          {{"explained", scale.item<double>() * 4},
           {"covariance_left", (at::mv(map, sigma).norm() / sigma.norm()).item<double>()}}};
}

SolvedMap solve_ridge(const at::Tensor& safe, const at::Tensor& unsafe, const at::Tensor& target,
                      const RidgeWeights& weights, const std::string& what) {
  const std::int64_t width = safe.size(1);
  const at::Tensor ss = moment(safe, safe), uu = moment(unsafe, unsafe);
  const at::Tensor tu = moment(target, unsafe), tt = moment(target, target);
  if (!(trace_of(ss) > 0)) {
    throw DataError(cat("adapter.form: ridge: all safe ", what, " are zero"));
  }
  const at::Tensor pull =
      weights.ridge * trace_of(ss) / static_cast<double>(width) * identity(width);
  const at::Tensor left = ss + weights.weight * tu + pull;
  const at::Tensor right = ss + weights.weight * uu + pull;  // symmetric, positive definite
  const at::Tensor map = at::linalg_solve(right, left.t()).t().contiguous();
  const double unsafe_before = summed_error(identity(width), uu, tu.t(), tt);
  return {map,
          {{"unsafe_error",
            unsafe_before > 0 ? summed_error(map, uu, tu.t(), tt) / unsafe_before : 0.0},
           {"safe_moved", summed_error(map, ss, ss, ss) / trace_of(ss)}}};
}

}  // namespace saferclip
