// Which rows a step trains on: a pure function of (seed, step), so a resumed run needs only its
// step.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

namespace saferclip {

struct SamplerPlan {
  std::int64_t batch_size = 1;
  bool drop_last = false;
  std::uint64_t seed = 0;
};

// Of each manifest row the rows that are to share a batch with it, the most wanted first.
using NeighbourLists = std::vector<std::vector<std::int64_t>>;

// Thread-safe. Epochs without admitted rows have no steps.
class Sampler {
 public:
  // `admitted` returns the rows that the curriculum admits in an epoch, the same on every call.
  // `neighbours` may be null: then rows meet by chance alone.
  Sampler(SamplerPlan plan, std::function<std::vector<std::int64_t>(std::int64_t epoch)> admitted,
          std::shared_ptr<const NeighbourLists> neighbours = nullptr);

  struct Position {
    std::int64_t epoch = 0;
    std::int64_t batch = 0;
  };
  // Throws DataError when no further epoch has rows.
  Position position_of(std::int64_t step) const;
  std::vector<std::int64_t> rows_of(std::int64_t step) const;
  std::int64_t steps_in_epoch(std::int64_t epoch) const;
  std::int64_t steps_in_epochs(std::int64_t epochs) const;

 private:
  std::int64_t steps_locked(std::int64_t epoch) const;
  const std::vector<std::int64_t>& order_locked(std::int64_t epoch) const;
  Position position_locked(std::int64_t step) const;

  SamplerPlan plan_;
  std::function<std::vector<std::int64_t>(std::int64_t)> admitted_;
  std::shared_ptr<const NeighbourLists> neighbours_;
  mutable std::mutex mutex_;                          // the prefetch thread calls too
  mutable std::vector<std::int64_t> first_steps_{0};  // of each epoch reached so far
  mutable std::int64_t cached_epoch_ = -1;
  mutable std::vector<std::int64_t> cached_order_;
};

}  // namespace saferclip
