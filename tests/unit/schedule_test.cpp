// The learning rate.
#include "saferclip/train/schedule.h"

#include <gtest/gtest.h>

namespace saferclip {
namespace {

TEST(Schedule, IsAFunctionOfTheStep) {
  ScheduleOptions o;
  EXPECT_EQ(learning_rate(o, 2, 0, 10), 2);
  o.warmup_steps = 4;
  EXPECT_EQ(learning_rate(o, 2, 0, 10), 0.5);
  EXPECT_EQ(learning_rate(o, 2, 3, 10), 2);
  EXPECT_EQ(learning_rate(o, 2, 9, 10), 2);
  o.name = ScheduleName::kCosine;
  o.final_fraction = 0.1;
  EXPECT_EQ(learning_rate(o, 2, 4, 11), 2);
  EXPECT_NEAR(learning_rate(o, 2, 7, 11), 1.1, 1e-12);
  EXPECT_NEAR(learning_rate(o, 2, 10, 11), 0.2, 1e-12);
  o.name = ScheduleName::kLinear;
  EXPECT_NEAR(learning_rate(o, 2, 10, 11), 0.2, 1e-12);
}

}  // namespace
}  // namespace saferclip
