// Student's t against SciPy's quantiles, and the interval of a mean.
#include "saferclip/eval/spread.h"

#include <gtest/gtest.h>

#include <cmath>

#include "saferclip/core/error.h"

namespace saferclip {
namespace {

// scipy.stats.t.ppf(0.975, degrees)
TEST(Spread, QuantilesAreThoseOfScipy) {
  for (const auto& [degrees, quantile] :
       {std::pair(1, 12.706204736432095), std::pair(2, 4.302652729911275),
        std::pair(3, 3.182446305284263), std::pair(4, 2.7764451051977987),
        std::pair(5, 2.5705818366147395), std::pair(10, 2.2281388519649385),
        std::pair(29, 2.045229642132703), std::pair(100, 1.9839715184496334)}) {
    EXPECT_NEAR(student_t_95(degrees), quantile, 1e-9) << degrees;
  }
  EXPECT_THROW(student_t_95(0), Error);
}

TEST(Spread, OfValues) {
  const Spread spread = spread_of({1, 2, 6});
  EXPECT_DOUBLE_EQ(spread.mean, 3);
  EXPECT_NEAR(spread.half_width, 4.302652729911275 * std::sqrt(7.0 / 3), 1e-9);
  EXPECT_EQ(spread_of({5}).half_width, 0);
  EXPECT_EQ(spread_of({5, 5, 5}).half_width, 0);
  EXPECT_THROW(spread_of({}), Error);
}

}  // namespace
}  // namespace saferclip
