// Work beside the training.
#include "train/background.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "saferclip/core/error.h"

namespace saferclip {
namespace {

TEST(BackgroundWork, FailuresComeOutOnceAndWorkIsInOrder) {
  Background background;
  std::atomic<int> done{0};
  background.start([&] { done = 1; });
  background.start([&] { done = done == 1 ? 2 : -1; });
  background.wait();
  EXPECT_EQ(done, 2);
  background.start([] { throw DataError("no space"); });
  EXPECT_THROW(background.start([&] { done = 3; }), DataError);
  EXPECT_EQ(done, 2);
  background.start([] { throw DataError("no space"); });
  EXPECT_THROW(
      {
        for (int i = 0; i < 10000; ++i) {
          background.check();
          std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
      },
      DataError);
  background.check();
  background.wait();
}

}  // namespace
}  // namespace saferclip
