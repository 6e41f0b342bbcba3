// For whole degrees of freedom the distribution of |t| is a finite sum (Abramowitz and Stegun,
// 26.7.3 and 26.7.4), so its quantile needs no table: bisection ends at the precision of a double.
#include "saferclip/eval/spread.h"

#include <cmath>
#include <numbers>

#include "saferclip/core/error.h"

namespace saferclip {
namespace {

constexpr double kLevel = 0.95;

// P(|t| <= x).
double probability_within(double x, std::int64_t degrees) {
  const double angle = std::atan(x / std::sqrt(static_cast<double>(degrees)));
  const double cosine = std::cos(angle);
  const bool is_odd = degrees % 2 != 0;
  double term = is_odd ? cosine : 1, sum = degrees > 1 ? term : 0;
  for (std::int64_t k = is_odd ? 2 : 1; k < degrees - 2; k += 2) {
    term *= cosine * cosine * static_cast<double>(k) / static_cast<double>(k + 1);
    sum += term;
  }
  const double share = std::sin(angle) * sum;
  return is_odd ? 2 / std::numbers::pi * (angle + share) : share;
}

}  // namespace

double student_t_95(std::int64_t degrees) {
  if (degrees < 1) throw Error("student_t_95: needs a degree of freedom", 1);
  double low = 0, high = 16;  // 12.7 with one degree, less with more
  for (;;) {
    const double middle = (low + high) / 2;
    if (middle <= low || middle >= high) return middle;
    (probability_within(middle, degrees) < kLevel ? low : high) = middle;
  }
}

Spread spread_of(const std::vector<double>& values) {
  if (values.empty()) throw Error("spread_of: needs a value", 1);
  const auto n = static_cast<double>(values.size());
  Spread spread;
  for (const double value : values) spread.mean += value;
  spread.mean /= n;
  if (values.size() < 2) return spread;
  double squares = 0;
  for (const double value : values) squares += (value - spread.mean) * (value - spread.mean);
  const double deviation = std::sqrt(squares / (n - 1));
  spread.half_width =
      student_t_95(static_cast<std::int64_t>(values.size()) - 1) * deviation / std::sqrt(n);
  return spread;
}

}  // namespace saferclip
