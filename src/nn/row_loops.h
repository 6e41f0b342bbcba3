// The loops behind row_kernels.h, on plain memory and in one thread; compiled for each vector unit.
#pragma once

#include <cstdint>

namespace saferclip {

using Bf16 = std::uint16_t;  // the upper half of an fp32's bits
constexpr std::int64_t kRowLanes = 16;

// Rows [begin, end) of a matrix with rows of `length` values.
struct Rows {
  std::int64_t begin = 0;
  std::int64_t end = 0;
  std::int64_t length = 0;
};

// y ← x·σ(1.702x).
void run_gelu(const float* x, float* y, std::int64_t size);
void run_gelu(const Bf16* x, Bf16* y, std::int64_t size);

// gradient ← gradient · d/dx x·σ(1.702x); y ← x·σ(1.702x) unless null.
void run_gelu_gradient(float* gradient, const float* x, float* y, std::int64_t size);
void run_gelu_gradient(Bf16* gradient, const Bf16* x, Bf16* y, std::int64_t size);

// Each row ← softmax(scale · row); causal: row i sees i % length + 1 scores, the others become 0.
// `buffer` holds length + kRowLanes values.
void run_softmax(float* scores, const Rows& rows, float scale, bool is_causal, float* buffer);
void run_softmax(Bf16* scores, const Rows& rows, float scale, bool is_causal, float* buffer);

// Each row of gradient ← scale · weights · (gradient - Σ weights · gradient).
void run_softmax_gradient(float* gradient, const float* weights, const Rows& rows, float scale);
void run_softmax_gradient(Bf16* gradient, const Bf16* weights, const Rows& rows, float scale);

// A LayerNorm: weight and bias a column each, mean and 1/deviation a row each.
struct NormValues {
  const float* weight;
  const float* bias;
  float* mean;
  float* rstd;
};
// y ← LayerNorm(x). With `eps` mean and rstd are worked out first, without they are read.
void run_norm(const float* x, float* y, const NormValues& norm, const Rows& rows, const float* eps);
void run_norm(const Bf16* x, Bf16* y, const NormValues& norm, const Rows& rows, const float* eps);

// gradient ← that of x from that of y, plus `addend` unless null.
void run_norm_gradient(float* gradient, const float* x, const float* addend, const NormValues& norm,
                       const Rows& rows);
void run_norm_gradient(Bf16* gradient, const Bf16* x, const Bf16* addend, const NormValues& norm,
                       const Rows& rows);

}  // namespace saferclip
