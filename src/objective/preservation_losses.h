// Preservation of a batch's structure, after SAGE (arXiv 2607.00402), on pooled embeddings. Inputs
// are rows [B, D] of any floating type and any length; results are 0-d, one value of all rows.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace saferclip {

// max(0, S0 − S) with S = Σ|z_i − z̄|² / (B − 1) of the L2-normalized rows and S0 the same in the
// reference: rows may spread, but not draw together. 0 for a single row.
at::Tensor spread_loss(const at::Tensor& tuned, const at::Tensor& reference);

// 1 − the mean over the pairs (i, j) of standardized cos(x_i, x_j) times the same in the reference,
// j among the k rows nearest to i there. Both are standardized over all pairs with the deviation of
// n − 1 (plus 1e-8), so that unmoved rows have 1/n, not 0. 0 if the reference's cosines do not
// differ, as with less than three rows; 1 if the tuned ones alone do not.
at::Tensor neighbour_loss(const at::Tensor& tuned, const at::Tensor& reference, std::int64_t k);

}  // namespace saferclip
