// The loss terms as pure functions of embeddings. All take un-normalised rows [B, D] of any
// floating type; cos(a, b) is over L2-normalised rows. Unless said otherwise the result has one
// value a row, [B]. Equations: SaFeR-CLIP (arXiv 2511.16743), Safe-CLIP (arXiv 2311.16254).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace saferclip {

// x / max(|x|, 1e-12), row by row.
at::Tensor normalise_rows(const at::Tensor& x);

// cos(a_i, b_i)
at::Tensor cosine_rows(const at::Tensor& a, const at::Tensor& b);

// 1 − cos(a_i, b_i)
at::Tensor cosine_distance(const at::Tensor& a, const at::Tensor& b);

// log(1 + exp(scale · (cos(q_i, n_i) − cos(q_i, p_i)) + margin)): q is drawn to p and away from n.
at::Tensor relative_redirection(const at::Tensor& query, const at::Tensor& negative,
                                const at::Tensor& positive, double scale, double margin);

// The same with all negatives n_j at once: log(1 + Σ_j m_j exp(scale · (cos(q_i, n_j) −
// cos(q_i, p_i)))). `mask` [B], 0 or 1, says which negatives count; with one negative this is
// relative_redirection without margin.
at::Tensor relative_redirection_from_all(const at::Tensor& query, const at::Tensor& negatives,
                                         const at::Tensor& positive, double scale,
                                         const at::Tensor& mask);

// ½ [CE(s · A Bᵀ, diagonal) + CE(s · B Aᵀ, diagonal)] of each row, whose mean is C(A, B). `scale`
// is 0-d. Rows whose `mask` [B] is 0 are no negatives of the others, and their own value means
// nothing; undefined: all rows count.
at::Tensor symmetric_infonce(const at::Tensor& a, const at::Tensor& b, const at::Tensor& scale,
                             const at::Tensor& mask = {});

// SigLIP's loss (arXiv 2303.15343, equation 1) of each row, whose mean is the batch's:
// Σ_j −log σ(z_ij (scale · cos(a_i, b_j) + bias)), z = 1 on the diagonal and −1 elsewhere. `scale`
// and `bias` are 0-d.
at::Tensor sigmoid_contrast(const at::Tensor& a, const at::Tensor& b, const at::Tensor& scale,
                            const at::Tensor& bias);

// Similarity structure, how the rows of one modality stand to each other (ours). With
// c_ij = cos(x_i, x_j), c0_ij the same of the reference and j ≠ i:
//   distribution  KL(softmax_j(scale · c0_ij) ‖ softmax_j(scale · c_ij))
//   neighbours    mean over the k rows j nearest to i in the reference of (c_ij − c0_ij)²
// A single row has no structure: 0.
at::Tensor similarity_distribution(const at::Tensor& tuned, const at::Tensor& reference,
                                   double scale);
at::Tensor similarity_to_neighbours(const at::Tensor& tuned, const at::Tensor& reference,
                                    std::int64_t k);

}  // namespace saferclip
