// Metrics of an embedding space as a whole. All rows are L2-normalized fp32 [N, D] on the CPU.
#pragma once

#include <ATen/core/Tensor.h>

namespace saferclip {

// Mean of cos(a_i, b_i).
double mean_cosine(const at::Tensor& a, const at::Tensor& b);

// Reveals a collapsed model, which metrics over pairs may miss.
struct EmbeddingSpace {
  double mean_cosine = 0;  // over all pairs of different rows; 1: all rows are equal
  // exp of the entropy of the singular values' shares (Roy & Vetterli 2007).
  double effective_rank = 0;
};
EmbeddingSpace measure_space(const at::Tensor& rows);

}  // namespace saferclip
