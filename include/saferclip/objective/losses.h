// The loss terms as pure functions of embeddings. All take un-normalised rows [B, D] of any
// floating type; cos(a, b) is over L2-normalised rows. Unless said otherwise the result has one
// value a row, [B]. Equations: SaFeR-CLIP (arXiv 2511.16743), Safe-CLIP (arXiv 2311.16254).
#pragma once

#include <ATen/core/Tensor.h>

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

// C(A, B) = ½ [CE_rows(s · A Bᵀ, diagonal) + CE_rows(s · B Aᵀ, diagonal)]: a 0-d mean. `scale` is
// 0-d.
at::Tensor symmetric_infonce(const at::Tensor& a, const at::Tensor& b, const at::Tensor& scale);

}  // namespace saferclip
