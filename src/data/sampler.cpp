// The order of an epoch is a permutation keyed by seed and epoch, so a step's rows follow from its
// number alone. The curriculum makes epochs differ in length; the first step of each epoch is found
// by counting, once. The latest order is cached. A mutex guards both, because the training loop and
// the prefetch thread ask.
#include "saferclip/data/sampler.h"

#include <algorithm>
#include <utility>

#include "data/grouped_order.h"
#include "saferclip/core/error.h"
#include "saferclip/core/rng.h"

namespace saferclip {
namespace {

constexpr std::uint64_t kOrderStream = 0x0D3;
constexpr std::int64_t kMaxEmptyEpochs = 100'000;

}  // namespace

Sampler::Sampler(SamplerPlan plan, std::function<std::vector<std::int64_t>(std::int64_t)> admitted,
                 std::shared_ptr<const NeighbourLists> neighbours)
    : plan_(plan), admitted_(std::move(admitted)), neighbours_(std::move(neighbours)) {}

std::int64_t Sampler::steps_locked(std::int64_t epoch) const {
  const auto rows = static_cast<std::int64_t>(admitted_(epoch).size());
  return plan_.drop_last ? rows / plan_.batch_size
                         : (rows + plan_.batch_size - 1) / plan_.batch_size;
}

std::int64_t Sampler::steps_in_epoch(std::int64_t epoch) const {
  const std::lock_guard guard(mutex_);
  return steps_locked(epoch);
}

std::int64_t Sampler::steps_in_epochs(std::int64_t epochs) const {
  const std::lock_guard guard(mutex_);
  std::int64_t steps = 0;
  for (std::int64_t epoch = 0; epoch < epochs; ++epoch) steps += steps_locked(epoch);
  return steps;
}

Sampler::Position Sampler::position_locked(std::int64_t step) const {
  std::int64_t empty = 0;
  while (first_steps_.back() <= step) {
    const auto epoch = static_cast<std::int64_t>(first_steps_.size()) - 1;
    const std::int64_t steps = steps_locked(epoch);
    empty = steps == 0 ? empty + 1 : 0;
    if (empty > kMaxEmptyEpochs) {
      throw DataError(
          "no epoch has enough rows for a batch; check curriculum.start_epochs, "
          "train.batch_size and train.drop_last");
    }
    first_steps_.push_back(first_steps_.back() + steps);
  }
  const auto after = std::upper_bound(first_steps_.begin(), first_steps_.end(), step);
  const auto epoch = after - first_steps_.begin() - 1;
  return {epoch, step - first_steps_[static_cast<std::size_t>(epoch)]};
}

Sampler::Position Sampler::position_of(std::int64_t step) const {
  const std::lock_guard guard(mutex_);
  return position_locked(step);
}

const std::vector<std::int64_t>& Sampler::order_locked(std::int64_t epoch) const {
  if (cached_epoch_ == epoch) return cached_order_;
  const std::vector<std::int64_t> rows = admitted_(epoch);
  const auto order =
      random_permutation(static_cast<std::int64_t>(rows.size()),
                         mix_bits(plan_.seed, {kOrderStream, static_cast<std::uint64_t>(epoch)}));
  cached_order_.clear();
  for (const std::int64_t i : order) cached_order_.push_back(rows[static_cast<std::size_t>(i)]);
  if (neighbours_ != nullptr) {
    cached_order_ = grouped_order(cached_order_, *neighbours_, plan_.batch_size);
  }
  cached_epoch_ = epoch;
  return cached_order_;
}

std::vector<std::int64_t> Sampler::rows_of(std::int64_t step) const {
  const std::lock_guard guard(mutex_);
  const Position position = position_locked(step);
  const std::vector<std::int64_t>& order = order_locked(position.epoch);
  const auto begin = order.begin() + position.batch * plan_.batch_size;
  const auto end = order.end() - begin > plan_.batch_size ? begin + plan_.batch_size : order.end();
  return {begin, end};
}

}  // namespace saferclip
