// Loops over explicit vectors of kLanes floats, which the compiler splits where the CPU's vector
// unit is narrower: fp32 or bf16 in memory, fp32 in registers, the rest of a row padded to one
// vector. The file is compiled with -ffp-contract=fast (CMakeLists.txt) but without fast-math, so
// NaN and infinity propagate. Sums run lane by lane, then in a tree. Each loop's formula stands
// beside it.
#include "nn/row_loops.h"

#include <cstring>

#include "saferclip/core/vectorized.h"

namespace saferclip {
namespace {

#define SAFERCLIP_INLINE [[gnu::always_inline]] inline

constexpr std::int64_t kLanes = kRowLanes;
using Floats __attribute__((vector_size(kLanes * sizeof(float)))) = float;
using Words __attribute__((vector_size(kLanes * sizeof(std::uint32_t)))) = std::uint32_t;
using Halves __attribute__((vector_size(kLanes * sizeof(std::uint16_t)))) = std::uint16_t;

SAFERCLIP_INLINE Floats load(const float* p) {
  Floats x;
  std::memcpy(&x, p, sizeof x);
  return x;
}
SAFERCLIP_INLINE Floats load(const Bf16* p) {
  Halves bits;
  std::memcpy(&bits, p, sizeof bits);
  return reinterpret_cast<Floats>(__builtin_convertvector(bits, Words) << 16);
}

SAFERCLIP_INLINE void store(const Floats& x, float* p) { std::memcpy(p, &x, sizeof x); }
// Rounds to nearest even; NaN stays NaN.
SAFERCLIP_INLINE void store(const Floats& x, Bf16* p) {
  const auto bits = reinterpret_cast<Words>(x);
  Words rounded = (bits + 0x7FFFU + ((bits >> 16) & 1U)) >> 16;
  // NOLINTNEXTLINE(misc-redundant-expression): finds NaN
  rounded = x != x ? Words{} + 0x7FC0U : rounded;
  const Halves halves = __builtin_convertvector(rounded, Halves);
  std::memcpy(p, &halves, sizeof halves);
}

// The first `count` lanes from memory, `fill` in the others.
template <class T>
SAFERCLIP_INLINE Floats load_part(const T* p, std::int64_t count, T fill) {
  T lanes[kLanes];
  for (T& lane : lanes) lane = fill;
  std::memcpy(lanes, p, static_cast<std::size_t>(count) * sizeof(T));
  return load(lanes);
}
template <class T>
SAFERCLIP_INLINE void store_part(const Floats& x, T* p, std::int64_t count) {
  T lanes[kLanes];
  store(x, lanes);
  std::memcpy(p, lanes, static_cast<std::size_t>(count) * sizeof(T));
}

SAFERCLIP_INLINE float sum_of(const Floats& x) {
  float lanes[kLanes];
  store(x, lanes);
  for (std::int64_t half = kLanes / 2; half > 0; half /= 2) {
    for (std::int64_t i = 0; i < half; ++i) lanes[i] += lanes[i + half];
  }
  return lanes[0];
}
SAFERCLIP_INLINE float highest_of(const Floats& x) {
  float lanes[kLanes];
  store(x, lanes);
  for (std::int64_t half = kLanes / 2; half > 0; half /= 2) {
    for (std::int64_t i = 0; i < half; ++i) {
      lanes[i] = lanes[i + half] > lanes[i] ? lanes[i + half] : lanes[i];
    }
  }
  return lanes[0];
}

// e^x to about one unit in the last place (Cephes' expf): x = n·ln 2 + r, e^x = 2^n · p(r) with a
// polynomial p and 2^n assembled from its bits. x is clamped to [-87, 88], where 2^n is normal.
SAFERCLIP_INLINE Floats exponential(Floats x) {
  constexpr float kRounder = 12582912.0F;  // 1.5 · 2^23: adding it rounds to an integer
  x = x < -87.0F ? Floats{} - 87.0F : x;
  x = x > 88.0F ? Floats{} + 88.0F : x;
  const Floats shifted = x * 1.44269504F + kRounder;
  const Floats n = shifted - kRounder;
  const Floats r = (x - n * 0.693359375F) + n * 2.12194440e-4F;
  Floats p = r * 1.9875691500e-4F + 1.3981999507e-3F;
  p = p * r + 8.3334519073e-3F;
  p = p * r + 4.1665795894e-2F;
  p = p * r + 1.6666665459e-1F;
  p = p * r + 5.0000001201e-1F;
  p = p * (r * r) + (r + 1.0F);
  return p * reinterpret_cast<Floats>((reinterpret_cast<Words>(shifted) << 23) + 0x3F800000U);
}

// σ(1.702x)
SAFERCLIP_INLINE Floats quick_sigmoid(const Floats& x) {
  return 1.0F / (1.0F + exponential(x * -1.702F));
}

// d/dx x·σ(1.702x) = s + 1.702·x·s·(1 - s), with s = σ(1.702x).
SAFERCLIP_INLINE Floats quick_gelu_slope(const Floats& x, const Floats& s) {
  return s + 1.702F * x * s * (1.0F - s);
}

// y = x·σ(1.702x)
template <class T>
SAFERCLIP_INLINE void quick_gelu_loop(const T* x, T* y, std::int64_t size) {
  std::int64_t i = 0;
  for (; i + kLanes <= size; i += kLanes) {
    const Floats v = load(x + i);
    store(v * quick_sigmoid(v), y + i);
  }
  const Floats v = load_part(x + i, size - i, T{});
  store_part(v * quick_sigmoid(v), y + i, size - i);
}

// dx = dy · d/dx x·σ(1.702x), in place of dy; y = x·σ(1.702x) unless null.
template <class T>
SAFERCLIP_INLINE void quick_gelu_gradient_loop(T* gradient, const T* x, T* y, std::int64_t size) {
  std::int64_t i = 0;
  for (; i + kLanes <= size; i += kLanes) {
    const Floats v = load(x + i);
    const Floats s = quick_sigmoid(v);
    store(load(gradient + i) * quick_gelu_slope(v, s), gradient + i);
    if (y != nullptr) store(v * s, y + i);
  }
  const std::int64_t rest = size - i;
  const Floats v = load_part(x + i, rest, T{});
  const Floats s = quick_sigmoid(v);
  store_part(load_part(gradient + i, rest, T{}) * quick_gelu_slope(v, s), gradient + i, rest);
  if (y != nullptr) store_part(v * s, y + i, rest);
}

// p_j = exp(scale·s_j - m) / Σ_k exp(scale·s_k - m), m = max_k scale·s_k, over the `visible` first
// scores; p_j = 0 for the rest. `buffer` holds the exponentials in whole vectors.
template <class T>
SAFERCLIP_INLINE void softmax_row(T* row, std::int64_t visible, std::int64_t length, float scale,
                                  float* buffer) {
  constexpr float kLowest = -1e30F;
  const std::int64_t whole = visible / kLanes * kLanes;
  Floats highest = Floats{} + kLowest;
  for (std::int64_t j = 0; j < whole; j += kLanes) {
    const Floats x = load(row + j) * scale;
    highest = x > highest ? x : highest;
    store(x, buffer + j);
  }
  for (std::int64_t j = whole; j < whole + kLanes; ++j) buffer[j] = kLowest;
  if (whole < visible) {
    store_part(load_part(row + whole, visible - whole, T{}) * scale, buffer + whole,
               visible - whole);
    const Floats x = load(buffer + whole);
    highest = x > highest ? x : highest;
  }
  const float top = highest_of(highest);
  Floats sums = Floats{};
  for (std::int64_t j = 0; j < visible; j += kLanes) {
    // e^-70 and below become 0: denormals would slow the products with P a hundredfold.
    const Floats x = load(buffer + j) - top;
    const Floats e = x < -70.0F ? Floats{} : exponential(x);
    sums += e;
    store(e, buffer + j);
  }
  const float factor = 1.0F / sum_of(sums);
  for (std::int64_t j = 0; j < whole; j += kLanes) store(load(buffer + j) * factor, row + j);
  if (whole < visible) store_part(load(buffer + whole) * factor, row + whole, visible - whole);
  for (std::int64_t j = visible; j < length; ++j) row[j] = T{};
}

template <class T>
SAFERCLIP_INLINE void softmax_loop(T* scores, const Rows& rows, float scale, bool is_causal,
                                   float* buffer) {
  for (std::int64_t i = rows.begin; i < rows.end; ++i) {
    const std::int64_t visible = is_causal ? i % rows.length + 1 : rows.length;
    softmax_row(scores + i * rows.length, visible, rows.length, scale, buffer);
  }
}

// ds_j = scale · p_j · (dp_j - Σ_k p_k dp_k), in place of dp.
template <class T>
SAFERCLIP_INLINE void softmax_gradient_loop(T* gradients, const T* weights, const Rows& rows,
                                            float scale) {
  for (std::int64_t i = rows.begin; i < rows.end; ++i) {
    T* gradient = gradients + i * rows.length;
    const T* weight = weights + i * rows.length;
    const std::int64_t whole = rows.length / kLanes * kLanes;
    const std::int64_t rest = rows.length - whole;
    const Floats last_gradient = load_part(gradient + whole, rest, T{});
    const Floats last_weight = load_part(weight + whole, rest, T{});
    Floats sums = last_gradient * last_weight;
    for (std::int64_t j = 0; j < whole; j += kLanes) sums += load(gradient + j) * load(weight + j);
    const float sum = sum_of(sums);
    for (std::int64_t j = 0; j < whole; j += kLanes) {
      store(scale * load(weight + j) * (load(gradient + j) - sum), gradient + j);
    }
    store_part(scale * last_weight * (last_gradient - sum), gradient + whole, rest);
  }
}

// The columns [j, j + count) of a row, 0 in the other lanes.
template <class T>
SAFERCLIP_INLINE Floats columns(const T* row, std::int64_t j, std::int64_t count) {
  return count == kLanes ? load(row + j) : load_part(row + j, count, T{});
}
template <class T>
SAFERCLIP_INLINE void set_columns(const Floats& x, T* row, std::int64_t j, std::int64_t count) {
  count == kLanes ? store(x, row + j) : store_part(x, row + j, count);
}

// Calls `run(j, count)` for each vector of a row; only the last may have count < kLanes.
template <class Run>
SAFERCLIP_INLINE void for_columns(std::int64_t length, const Run& run) {
  const std::int64_t whole = length / kLanes * kLanes;
  for (std::int64_t j = 0; j < whole; j += kLanes) run(j, kLanes);
  if (whole < length) run(whole, length - whole);
}

// y_j = w_j · (x_j - mean) · rstd + b_j
template <class T>
SAFERCLIP_INLINE void norm_row(const T* x, T* y, const NormValues& norm, std::int64_t row,
                               std::int64_t length) {
  const float mean = norm.mean[row];
  const float rstd = norm.rstd[row];
  for_columns(length, [&](std::int64_t j, std::int64_t count) [[gnu::always_inline]] {
    const Floats normed = (columns(x, j, count) - mean) * rstd;
    set_columns(normed * columns(norm.weight, j, count) + columns(norm.bias, j, count), y, j,
                count);
  });
}

// mean = Σ x_j / L, rstd = 1 / √(Σ (x_j - mean)² / L + eps). Two passes: Σ x² / L - mean² would
// cancel.
template <class T>
SAFERCLIP_INLINE void row_statistics(const T* x, const NormValues& norm, std::int64_t row,
                                     std::int64_t length, float eps) {
  Floats sums = Floats{};
  for_columns(length, [&](std::int64_t j, std::int64_t count)
                          [[gnu::always_inline]] { sums += columns(x, j, count); });
  const float mean = sum_of(sums) / static_cast<float>(length);
  Floats squares = Floats{};
  const std::int64_t whole = length / kLanes * kLanes;
  for (std::int64_t j = 0; j < whole; j += kLanes) {
    const Floats deviation = load(x + j) - mean;
    squares += deviation * deviation;
  }
  float sum = sum_of(squares);
  for (std::int64_t j = whole; j < length; ++j) {
    const float deviation = load_part(x + j, 1, T{})[0] - mean;
    sum += deviation * deviation;
  }
  norm.mean[row] = mean;
  norm.rstd[row] = 1.0F / __builtin_sqrtf(sum / static_cast<float>(length) + eps);
}

template <class T>
SAFERCLIP_INLINE void norm_loop(const T* x, T* y, const NormValues& norm, const Rows& rows,
                                const float* eps) {
  for (std::int64_t i = rows.begin; i < rows.end; ++i) {
    const std::int64_t at = i * rows.length;
    if (eps != nullptr) row_statistics(x + at, norm, i, rows.length, *eps);
    norm_row(x + at, y + at, norm, i, rows.length);
  }
}

// dx_j = rstd · (g_j - mean(g) - n_j · mean(g ∘ n)) [+ addend_j], in place of dy, with
// g_j = dy_j · w_j and n_j = (x_j - mean) · rstd.
template <class T>
SAFERCLIP_INLINE void norm_gradient_loop(T* gradients, const T* xs, const T* addends,
                                         const NormValues& norm, const Rows& rows) {
  for (std::int64_t i = rows.begin; i < rows.end; ++i) {
    T* gradient = gradients + i * rows.length;
    const T* x = xs + i * rows.length;
    const float mean = norm.mean[i];
    const float rstd = norm.rstd[i];
    Floats sums_g = Floats{};
    Floats sums_gn = Floats{};
    for_columns(rows.length, [&](std::int64_t j, std::int64_t count) [[gnu::always_inline]] {
      const Floats g = columns(gradient, j, count) * columns(norm.weight, j, count);
      sums_g += g;
      sums_gn += g * ((columns(x, j, count) - mean) * rstd);
    });
    const float mean_g = sum_of(sums_g) / static_cast<float>(rows.length);
    const float mean_gn = sum_of(sums_gn) / static_cast<float>(rows.length);
    for_columns(rows.length, [&](std::int64_t j, std::int64_t count) [[gnu::always_inline]] {
      const Floats g = columns(gradient, j, count) * columns(norm.weight, j, count);
      const Floats normed = (columns(x, j, count) - mean) * rstd;
      Floats dx = rstd * (g - mean_g - normed * mean_gn);
      if (addends != nullptr) dx += columns(addends + i * rows.length, j, count);
      set_columns(dx, gradient, j, count);
    });
  }
}

}  // namespace

void run_quick_gelu(const float* x, float* y, std::int64_t size) {
  vectorized([=] { quick_gelu_loop(x, y, size); });
}
void run_quick_gelu(const Bf16* x, Bf16* y, std::int64_t size) {
  vectorized([=] { quick_gelu_loop(x, y, size); });
}
void run_quick_gelu_gradient(float* gradient, const float* x, float* y, std::int64_t size) {
  vectorized([=] { quick_gelu_gradient_loop(gradient, x, y, size); });
}
void run_quick_gelu_gradient(Bf16* gradient, const Bf16* x, Bf16* y, std::int64_t size) {
  vectorized([=] { quick_gelu_gradient_loop(gradient, x, y, size); });
}
void run_softmax(float* scores, const Rows& rows, float scale, bool is_causal, float* buffer) {
  vectorized([=] { softmax_loop(scores, rows, scale, is_causal, buffer); });
}
void run_softmax(Bf16* scores, const Rows& rows, float scale, bool is_causal, float* buffer) {
  vectorized([=] { softmax_loop(scores, rows, scale, is_causal, buffer); });
}
void run_softmax_gradient(float* gradient, const float* weights, const Rows& rows, float scale) {
  vectorized([=] { softmax_gradient_loop(gradient, weights, rows, scale); });
}
void run_softmax_gradient(Bf16* gradient, const Bf16* weights, const Rows& rows, float scale) {
  vectorized([=] { softmax_gradient_loop(gradient, weights, rows, scale); });
}

void run_norm(const float* x, float* y, const NormValues& norm, const Rows& rows,
              const float* eps) {
  vectorized([=] { norm_loop(x, y, norm, rows, eps); });
}
void run_norm(const Bf16* x, Bf16* y, const NormValues& norm, const Rows& rows, const float* eps) {
  vectorized([=] { norm_loop(x, y, norm, rows, eps); });
}
void run_norm_gradient(float* gradient, const float* x, const float* addend, const NormValues& norm,
                       const Rows& rows) {
  vectorized([=] { norm_gradient_loop(gradient, x, addend, norm, rows); });
}
void run_norm_gradient(Bf16* gradient, const Bf16* x, const Bf16* addend, const NormValues& norm,
                       const Rows& rows) {
  vectorized([=] { norm_gradient_loop(gradient, x, addend, norm, rows); });
}

}  // namespace saferclip
