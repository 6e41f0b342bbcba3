// Prediction of a row's partner jointly with the rows that have nearly the same one, after causal
// effect tuning (CET, arXiv 2306.10790), where neighbors are questions with the same answer. Here
// the "answer" of a row is its frozen partner, and the options are those of the batch.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace saferclip {

// Legend: B rows, K neighbors, D embedding width.
struct JointRows {
  at::Tensor neighbours;    // int64 [B, K]; any row where there is none
  at::Tensor is_neighbour;  // bool [B, K]
  // bool [B, 1 + K, B]: the options that are no candidates for the answer of a row, predicted by
  // itself and by each neighbor. Never the row's own.
  at::Tensor is_excluded;
};

// The neighbors of each row: the k rows nearest by cos(a_i, a_j) of the answers [B, D], as far as
// it is at least `threshold`. No option that is so near to a row's own is a candidate: a neighbor
// is not asked to prefer the row's answer to its own. Rows whose `mask` [B] is 0 are neither
// neighbors nor options of others; undefined: all count.
JointRows find_joint_rows(const at::Tensor& answers, std::int64_t k, double threshold,
                          const at::Tensor& mask = {});

// −log(W p_i[i] + (1 − W)/|N(i)| Σ_j p_j[i]) of each row [B]: p_j = softmax of scale · cos(x_j,
// a_c) over the options c, W = own_weight, and 1 without neighbors. `scale` is 0-d.
at::Tensor joint_prediction(const at::Tensor& tuned, const at::Tensor& options,
                            const at::Tensor& scale, const JointRows& rows, double own_weight);

}  // namespace saferclip
