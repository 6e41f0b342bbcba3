// The error bound of a score. With q̂ = q and p̂ = p rounded to the score's dtype:
//   q̂·p̂ - q·p = q̂·(p̂ - p) + (q̂ - q)·p
// Each term is at most the product of its norms (Cauchy-Schwarz). In whatever order a sum of D
// products runs, it is off by at most D half units of fp32; a bf16 result adds another half unit of
// its own.
#include "objective/score_rows.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>

#include "saferclip/core/vectorized.h"

namespace saferclip {
namespace {

constexpr std::int64_t kRowsAtOnce = 4096;
constexpr std::int64_t kLanes = 64;
constexpr std::int64_t kExactLanes = 16;
constexpr float kLowest = -std::numeric_limits<float>::infinity();
constexpr double kHalfUnitFloat = 0x1p-24;
constexpr double kHalfUnitBfloat16 = 0x1p-9;
constexpr double kSlack = 1.001;  // covers the rounding of the fp32 norms

double largest(const at::Tensor& values) {
  double most = 0;
  const auto* data = values.const_data_ptr<float>();
  for (std::int64_t i = 0; i < values.size(0); ++i) {
    if (static_cast<double>(data[i]) > most) most = static_cast<double>(data[i]);
  }
  return most;
}

[[gnu::always_inline]] inline float widened(float score) { return score; }
[[gnu::always_inline]] inline float widened(std::uint16_t score) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(score) << 16U);
}

// A fixed number of lanes: the compiler may not reorder a single running maximum.
template <class Score>
[[gnu::always_inline]] inline float highest_of(const Score* scores, std::int64_t count) {
  std::array<float, kLanes> lanes;
  lanes.fill(kLowest);
  std::int64_t j = 0;
  for (; j + kLanes <= count; j += kLanes) {
    for (std::int64_t k = 0; k < kLanes; ++k) {
      const float score = widened(scores[j + k]);
      float& lane = lanes[static_cast<std::size_t>(k)];
      lane = score > lane ? score : lane;
    }
  }
  float most = kLowest;
  for (; j < count; ++j) most = widened(scores[j]) > most ? widened(scores[j]) : most;
  for (const float lane : lanes) most = lane > most ? lane : most;
  return most;
}

[[gnu::always_inline]] inline double product_in_lanes(const float* a, const float* b,
                                                      std::int64_t width) {
  std::array<double, kExactLanes> lanes{};
  std::int64_t i = 0;
  for (; i + kExactLanes <= width; i += kExactLanes) {
    for (std::int64_t k = 0; k < kExactLanes; ++k) {
      lanes[static_cast<std::size_t>(k)] +=
          static_cast<double>(a[i + k]) * static_cast<double>(b[i + k]);
    }
  }
  double sum = 0;
  for (; i < width; ++i) sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  for (const double lane : lanes) sum += lane;
  return sum;
}

}  // namespace

ScoreRows score_rows(const at::Tensor& rows, at::ScalarType dtype) {
  if (dtype == at::kFloat) {
    return {rows, at::linalg_vector_norm(rows, 2, {1}), at::zeros({rows.size(0)}, at::kFloat)};
  }
  ScoreRows result{at::empty(rows.sizes(), dtype), at::linalg_vector_norm(rows, 2, {1}),
                   at::empty({rows.size(0)}, at::kFloat)};
  for (std::int64_t first = 0; first < rows.size(0); first += kRowsAtOnce) {
    const std::int64_t count = std::min(kRowsAtOnce, rows.size(0) - first);
    const at::Tensor exact = rows.narrow(0, first, count);
    const at::Tensor rounded = result.rows.narrow(0, first, count).copy_(exact);
    result.rounding.narrow(0, first, count)
        .copy_(at::linalg_vector_norm(rounded.to(at::kFloat).sub_(exact), 2, {1}));
  }
  return result;
}

ScoreBound::ScoreBound(const ScoreRows& pool)
    : norm_(largest(pool.norm)),
      rounding_(largest(pool.rounding)),
      arithmetic_(static_cast<double>(pool.rows.size(1) + 1) * 2 * kHalfUnitFloat +
                  (pool.rows.scalar_type() == at::kBFloat16 ? kHalfUnitBfloat16 : 0)) {}

double ScoreBound::of(const ScoreRows& queries, std::int64_t query) const {
  const auto norm = static_cast<double>(queries.norm.const_data_ptr<float>()[query]);
  const auto rounding = static_cast<double>(queries.rounding.const_data_ptr<float>()[query]);
  const double in_rows = (norm + rounding) * rounding_ + rounding * norm_;
  return kSlack * (in_rows + arithmetic_ * (norm + rounding) * (norm_ + rounding_));
}

float highest_score(const float* scores, std::int64_t count) {
  return vectorized([=] { return highest_of(scores, count); });
}
float highest_score(const at::BFloat16* scores, std::int64_t count) {
  return vectorized([=] { return highest_of(&scores->x, count); });
}

double exact_product(const float* a, const float* b, std::int64_t width) {
  return vectorized([=] { return product_in_lanes(a, b, width); });
}

}  // namespace saferclip
