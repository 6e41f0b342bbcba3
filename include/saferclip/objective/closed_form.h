// Linear maps A of an embedding space that are solved for instead of trained; the model's final
// projection W becomes A W. Rows are un-normalized embeddings; all sums and solutions are float64.
// Legend: N pairs, E embedding width, z_s and z_u a pair's safe and unsafe row, z_t the unsafe
// row's nearest-safe target.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace saferclip {

// A map, and what it does to the rows it was solved on.
struct SolvedMap {
  at::Tensor map;  // float64 [E, E]
  std::vector<std::pair<std::string, double>> figures;
};

// `what` names the rows in messages ("text embeddings"). All throw DataError when the rows do not
// determine the map, with the cure.

// A = I − strength · U Uᵀ, U the `rank` main right singular vectors of the rows z_u − z_s.
SolvedMap solve_project(const at::Tensor& safe, const at::Tensor& unsafe, std::int64_t rank,
                        double strength, const std::string& what);

// LEACE (arXiv 2306.03819) for two classes: A = I − σ σᵀΣ⁻¹ / (σᵀΣ⁻¹σ) with the covariance Σ of
// all 2N rows and σ theirs with the class. After A the class has no covariance with any direction.
// `constant`: in how many directions no row of the model can vary; Σ⁻¹ leaves them out.
SolvedMap solve_leace(const at::Tensor& safe, const at::Tensor& unsafe, std::int64_t constant,
                      const std::string& what);

struct RidgeWeights {
  double weight = 1;  // w
  double ridge = 0;   // λ, relative to the mean eigenvalue of Σ z_s z_sᵀ
};
// A = (Σ z_s z_sᵀ + w Σ z_t z_uᵀ + λI)(Σ z_s z_sᵀ + w Σ z_u z_uᵀ + λI)⁻¹, the least-squares map of
// unsafe rows to their targets and of safe rows to themselves.
SolvedMap solve_ridge(const at::Tensor& safe, const at::Tensor& unsafe, const at::Tensor& target,
                      const RidgeWeights& weights, const std::string& what);

}  // namespace saferclip
