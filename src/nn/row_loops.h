// The loops behind row_kernels.h: on plain memory, in the caller's thread, compiled for each vector
// unit and chosen at run time.
#pragma once

#include <cstdint>

namespace saferclip {

using Bf16 = std::uint16_t;  // the upper half of an fp32's bits
constexpr std::int64_t kRowLanes = 16;

// Rows [begin, end) of a contiguous matrix [N, length].
struct Rows {
  std::int64_t begin = 0;
  std::int64_t end = 0;
  std::int64_t length = 0;
};

// y ← x·σ(1.702x).
void run_quick_gelu(const float* x, float* y, std::int64_t size);
void run_quick_gelu(const Bf16* x, Bf16* y, std::int64_t size);

// gradient ← gradient · d/dx x·σ(1.702x); y ← x·σ(1.702x) unless null.
void run_quick_gelu_gradient(float* gradient, const float* x, float* y, std::int64_t size);
void run_quick_gelu_gradient(Bf16* gradient, const Bf16* x, Bf16* y, std::int64_t size);

// Each row ← softmax(scale · row). Causal: row i keeps its i % length + 1 first scores, the others
// become 0. `buffer` holds length + kRowLanes values.
void run_softmax(float* scores, const Rows& rows, float scale, bool is_causal, float* buffer);
void run_softmax(Bf16* scores, const Rows& rows, float scale, bool is_causal, float* buffer);

// Each row of gradient ← scale · weights ∘ (gradient - Σ weights ∘ gradient).
void run_softmax_gradient(float* gradient, const float* weights, const Rows& rows, float scale);
void run_softmax_gradient(Bf16* gradient, const Bf16* weights, const Rows& rows, float scale);

// A LayerNorm: weight and bias by column; mean and rstd = 1/√(variance + eps) by row.
struct NormValues {
  const float* weight;
  const float* bias;
  float* mean;
  float* rstd;
};
// y ← LayerNorm(x). With `eps` the statistics are computed first, with null they are read.
void run_norm(const float* x, float* y, const NormValues& norm, const Rows& rows, const float* eps);
void run_norm(const Bf16* x, Bf16* y, const NormValues& norm, const Rows& rows, const float* eps);

// gradient: of y ← of x, plus `addend` unless null. Ignores the bias.
void run_norm_gradient(float* gradient, const float* x, const float* addend, const NormValues& norm,
                       const Rows& rows);
void run_norm_gradient(Bf16* gradient, const Bf16* x, const Bf16* addend, const NormValues& norm,
                       const Rows& rows);

}  // namespace saferclip
