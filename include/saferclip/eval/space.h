// Figures of an embedding space as a whole. All rows are L2-normalised fp32 [N, D] on the CPU.
#pragma once

#include <ATen/core/Tensor.h>

namespace saferclip {

// Mean cosine between row i of one and row i of the other.
double mean_cosine(const at::Tensor& a, const at::Tensor& b);

// What exposes a collapsed model, which metrics over pairs may not.
struct EmbeddingSpace {
  double mean_cosine = 0;  // over all pairs of different rows; 1: all rows are equal
  double effective_rank =
      0;  // exp of the entropy of the singular values' shares (Roy & Vetterli 2007)
};
EmbeddingSpace measure_space(const at::Tensor& rows);

}  // namespace saferclip
