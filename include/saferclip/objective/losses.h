// The loss terms as pure functions of embeddings. Inputs are rows [B, D] of any floating type and
// any length: cos(a, b) normalizes them. Unless stated otherwise, the result is one value per row,
// [B]. Equations: SaFeR-CLIP (arXiv 2511.16743), Safe-CLIP (arXiv 2311.16254).
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

// log(1 + exp(scale · (cos(q_i, n_i) − cos(q_i, p_i)) + margin)): pulls q to p, away from n.
at::Tensor relative_redirection(const at::Tensor& query, const at::Tensor& negative,
                                const at::Tensor& positive, double scale, double margin);

// The same against all negatives at once, without margin:
// log(1 + Σ_j m_j exp(scale · (cos(q_i, n_j) − cos(q_i, p_i)))). `mask` m [B], 0 or 1.
at::Tensor relative_redirection_from_all(const at::Tensor& query, const at::Tensor& negatives,
                                         const at::Tensor& positive, double scale,
                                         const at::Tensor& mask);

// ½ [CE(s · A Bᵀ, diagonal) + CE(s · B Aᵀ, diagonal)] of each row; the mean is InfoNCE C(A, B).
// `scale` s is 0-d. Rows whose `mask` [B] is 0 are not negatives of other rows, and their own value
// is meaningless; undefined: all rows count.
at::Tensor symmetric_infonce(const at::Tensor& a, const at::Tensor& b, const at::Tensor& scale,
                             const at::Tensor& mask = {});

// SigLIP's loss (arXiv 2303.15343, equation 1) of each row; the mean is the batch's loss:
// Σ_j −log σ(z_ij (scale · cos(a_i, b_j) + bias)), z = 1 on the diagonal and −1 elsewhere. `scale`
// and `bias` are 0-d.
at::Tensor sigmoid_contrast(const at::Tensor& a, const at::Tensor& b, const at::Tensor& scale,
                            const at::Tensor& bias);

// Preservation of the similarity structure within one modality (this program's own terms). With
// c_ij = cos(x_i, x_j), c0_ij the same in the reference, and j ≠ i:
//   distribution  KL(softmax_j(scale · c0_ij) ‖ softmax_j(scale · c_ij))
//   neighbours    mean over the k rows j nearest to i in the reference of (c_ij − c0_ij)²
// 0 for a single row.
at::Tensor similarity_distribution(const at::Tensor& tuned, const at::Tensor& reference,
                                   double scale);
at::Tensor similarity_to_neighbours(const at::Tensor& tuned, const at::Tensor& reference,
                                    std::int64_t k);

}  // namespace saferclip
