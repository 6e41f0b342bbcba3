// The record of a run's validations, and the rate of its steps.
#include "saferclip/train/best.h"

#include <gtest/gtest.h>

#include "train/throughput.h"

namespace saferclip {
namespace {

ValidationResult result_of(std::optional<double> value, std::optional<double> loss) {
  ValidationResult result;
  result.best_value = value;
  result.loss = loss;
  return result;
}

TEST(Best, TheHighestValueWinsAndTiesKeepTheEarlierStep) {
  TrainState state;
  state.step = 10;
  EXPECT_TRUE(record_validation(result_of(2.0, std::nullopt), state));
  EXPECT_EQ(state.best_step, 10);
  state.step = 20;
  EXPECT_FALSE(record_validation(result_of(2.0, std::nullopt), state));
  EXPECT_EQ(state.best_step, 10);
  state.step = 30;
  EXPECT_TRUE(record_validation(result_of(-1.0 + 4.0, std::nullopt), state));
  EXPECT_EQ(state.best_step, 30);
  EXPECT_EQ(state.best_value, 3.0);
  EXPECT_FALSE(record_validation(result_of(std::nullopt, std::nullopt), state));
  EXPECT_EQ(state.best_value, 3.0);
}

TEST(Best, PatienceCountsValidationsThatImproveNeitherValueNorLoss) {
  CheckpointOptions options;
  options.patience = 2;
  TrainState state;
  record_validation(result_of(1.0, 5.0), state);
  record_validation(result_of(0.5, 4.0), state);  // a lower loss counts too
  EXPECT_EQ(state.stale_validations, 0);
  EXPECT_EQ(state.best_loss, 4.0);
  record_validation(result_of(0.9, 4.0), state);
  EXPECT_FALSE(is_out_of_patience(state, options));
  record_validation(result_of(1.0, 4.5), state);
  EXPECT_EQ(state.stale_validations, 2);
  EXPECT_TRUE(is_out_of_patience(state, options));
  options.patience.reset();
  EXPECT_FALSE(is_out_of_patience(state, options));
}

TEST(Throughput, CountsFromTheEndOfTheStepBefore) {
  using Clock = Throughput::Clock;
  const Clock::time_point start{};
  Throughput throughput;
  throughput.restart(start);
  EXPECT_DOUBLE_EQ(throughput.step_rate(48, start + std::chrono::seconds(2)), 24);
  EXPECT_DOUBLE_EQ(throughput.step_rate(48, start + std::chrono::seconds(6)), 12);
  throughput.restart(start + std::chrono::seconds(100));  // behind a validation
  EXPECT_DOUBLE_EQ(throughput.step_rate(10, start + std::chrono::seconds(101)), 10);
}

}  // namespace
}  // namespace saferclip
