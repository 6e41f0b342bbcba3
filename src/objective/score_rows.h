// Fast scores q · p of rows, and a bound on their error, by which a search can skip rows without
// missing the best. Legend: N rows, D their width.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace saferclip {

// Rows in the dtype of the products.
struct ScoreRows {
  at::Tensor rows;      // [N, D]: fp32 as given, or rounded to bf16
  at::Tensor norm;      // fp32 [N]: |x|
  at::Tensor rounding;  // fp32 [N]: |x - rounded x|
};

// `rows` fp32 [N, D] on the CPU, contiguous; `dtype` kFloat or kBFloat16.
ScoreRows score_rows(const at::Tensor& rows, at::ScalarType dtype);

// An upper bound on |score - q · p| over all rows p of one pool.
class ScoreBound {
 public:
  explicit ScoreBound(const ScoreRows& pool);
  double of(const ScoreRows& queries, std::int64_t query) const;

 private:
  double norm_;
  double rounding_;
  double arithmetic_;  // relative error of the sum and of rounding its result
};

// The highest score, ignoring NaN; -infinity if there is none.
float highest_score(const float* scores, std::int64_t count);
float highest_score(const at::BFloat16* scores, std::int64_t count);

// q · p summed in float64, in which products of fp32 numbers are exact.
double exact_product(const float* a, const float* b, std::int64_t width);

}  // namespace saferclip
