// Metrics of an embedding space as a whole. All rows are L2-normalized fp32 [N, D] on the CPU.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace saferclip {

// Mean of cos(a_i, b_i).
double mean_cosine(const at::Tensor& a, const at::Tensor& b);

// Reveals a collapsed model, which metrics over pairs may miss.
struct EmbeddingSpace {
  double mean_cosine = 0;  // over all pairs of different rows; 1: all rows are equal
  // exp of the entropy of the singular values' shares (Roy & Vetterli 2007).
  double effective_rank = 0;
  double spread = 0;  // Σ|x_i − x̄|² / (N − 1); 0 for one row
};
EmbeddingSpace measure_space(const at::Tensor& rows);

// Mean over the rows of |A ∩ B| / |A ∪ B|, where A and B are the k rows nearest to it in `before`
// and in `after`; of equally near rows the earlier ones; of fewer than k + 1 rows all others. At
// least two rows.
double neighbour_jaccard(const at::Tensor& before, const at::Tensor& after, std::int64_t k);

}  // namespace saferclip
