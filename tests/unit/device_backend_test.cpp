// All processes decide alike about NCCL, whatever happens to one of them. The processes are
// threads, and what connects them is made up.
#include "distributed/device_backend.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>
#include <thread>
#include <torch/csrc/distributed/c10d/HashStore.hpp>

#include "distributed/packed_texts.h"

namespace saferclip {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

struct Backend : c10d::Backend {
  Backend(int rank, int size) : c10d::Backend(rank, size) {}
};

using Made = c10::intrusive_ptr<c10d::Backend>;

// Calls `work` as each of the ranks at the same time.
template <class Work>
auto in_all(int size, const Work& work) {
  const auto store = c10::make_intrusive<c10d::HashStore>();
  std::vector<decltype(work(Group{}))> results(static_cast<std::size_t>(size));
  std::vector<std::thread> threads;
  for (int rank = 0; rank < size; ++rank) {
    threads.emplace_back([&, rank] {
      Group group{rank, size, "node", store, std::make_shared<Watch>(std::vector<Peer>(), OnLoss()),
                  {}};
      results[static_cast<std::size_t>(rank)] = work(group);
    });
  }
  for (std::thread& thread : threads) thread.join();
  return results;
}

std::string report(const std::string& machine, const std::string& card) {
  return pack_texts({machine + card, "card " + card + " of node", ""});
}

TEST(DeviceBackend, NeedsACardForEachProcess) {
  EXPECT_EQ(why_not_nccl({report("a", "0:1:0"), report("a", "0:2:0"), report("b", "0:1:0")}), "");
  EXPECT_EQ(why_not_nccl({report("a", "0:1:0"), report("b", "0:1:0"), report("a", "0:1:0")}),
            "ranks 0 and 2 share card 0:1:0 of node");
  EXPECT_EQ(why_not_nccl({report("a", "0:1:0"), pack_texts({"", "", "it has none"})}),
            "it has none");
}

TEST(DeviceBackend, ExchangesTexts) {
  const auto texts = in_all(3, [](const Group& group) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20 * group.rank));
    return exchange(std::string(static_cast<std::size_t>(group.rank), 'x'), group);
  });
  EXPECT_THAT(texts, Each(ElementsAre("", "x", "xx")));
}

TEST(DeviceBackend, ConnectsAll) {
  const auto made = in_all(3, [](const Group& group) {
    return connect_all(
        [&group]() -> Made { return c10::make_intrusive<Backend>(group.rank, group.size); }, group);
  });
  for (int rank = 0; rank < 3; ++rank) {
    ASSERT_TRUE(made[static_cast<std::size_t>(rank)].backend);
    EXPECT_EQ(made[static_cast<std::size_t>(rank)].backend->getRank(), rank);
    EXPECT_THAT(made[static_cast<std::size_t>(rank)].why_not, IsEmpty());
  }
}

TEST(DeviceBackend, OneThatFailsIsEnoughForAll) {
  struct {
    std::mutex mutex;
    std::condition_variable changed;
    bool is_over = false;
    bool is_left = false;
  } waiting;
  // One waits for the one that fails; one is done.
  const auto made = in_all(3, [&waiting](const Group& group) {
    const int rank = group.rank;
    return connect_all(
        [&waiting, rank]() -> Made {
          if (rank == 1) throw std::runtime_error("no network\nat line 7");
          if (rank == 0) {
            std::unique_lock lock(waiting.mutex);
            waiting.changed.wait(lock, [&waiting] { return waiting.is_over; });
            waiting.is_left = true;
            waiting.changed.notify_all();
          }
          return c10::make_intrusive<Backend>(rank, 3);
        },
        group);
  });
  for (const DeviceBackend& backend : made) {
    EXPECT_FALSE(backend.backend);
    EXPECT_EQ(backend.why_not, "rank 1: no network");
  }
  std::unique_lock lock(waiting.mutex);
  waiting.is_over = true;
  waiting.changed.notify_all();
  waiting.changed.wait(lock, [&waiting] { return waiting.is_left; });
}

}  // namespace
}  // namespace saferclip
