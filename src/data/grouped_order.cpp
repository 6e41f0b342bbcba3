// Groups are taken in the order of their first row. One that does not fit what is left of a batch
// waits for the next, while smaller ones behind it fill the batch. The wait is bounded, so that an
// epoch is put in order in one pass.
#include "data/grouped_order.h"

#include <algorithm>
#include <deque>

namespace saferclip {
namespace {

using Rows = std::vector<std::int64_t>;

constexpr std::size_t kMostWaiting = 256;

class Packer {
 public:
  Packer(std::int64_t batch_size, std::size_t rows) : batch_size_(batch_size) {
    placed_.reserve(rows);
  }

  void add(Rows group) {
    if (place_if_it_fits(group)) return;
    waiting_.push_back(std::move(group));
    if (waiting_.size() > kMostWaiting) cut_first();
  }

  Rows finish() {
    while (!waiting_.empty()) {
      if (!place_a_waiting_one()) cut_first();
    }
    return std::move(placed_);
  }

 private:
  std::int64_t left() const {
    return batch_size_ - static_cast<std::int64_t>(placed_.size()) % batch_size_;
  }

  bool place_if_it_fits(const Rows& group) {
    if (static_cast<std::int64_t>(group.size()) > left()) return false;
    placed_.insert(placed_.end(), group.begin(), group.end());
    // A new batch begins with those that did not fit into the last.
    if (left() == batch_size_) place_a_waiting_one();
    return true;
  }

  bool place_a_waiting_one() {
    const auto fits = std::ranges::find_if(waiting_, [&](const Rows& group) {
      return static_cast<std::int64_t>(group.size()) <= left();
    });
    if (fits == waiting_.end()) return false;
    placed_.insert(placed_.end(), fits->begin(), fits->end());
    waiting_.erase(fits);
    return true;
  }

  void cut_first() {
    Rows group = std::move(waiting_.front());
    waiting_.pop_front();
    const auto fitting = std::min(static_cast<std::size_t>(left()), group.size());
    const auto middle = group.begin() + static_cast<std::ptrdiff_t>(fitting);
    placed_.insert(placed_.end(), group.begin(), middle);
    if (middle != group.end()) waiting_.emplace_front(middle, group.end());
  }

  std::int64_t batch_size_;
  Rows placed_;
  std::deque<Rows> waiting_;
};

}  // namespace

std::vector<std::int64_t> grouped_order(const std::vector<std::int64_t>& order,
                                        const std::vector<std::vector<std::int64_t>>& neighbours,
                                        std::int64_t batch_size) {
  std::vector<char> is_left(neighbours.size(), 0);
  for (const std::int64_t row : order) is_left[static_cast<std::size_t>(row)] = 1;
  Packer packer(batch_size, order.size());
  for (const std::int64_t row : order) {
    if (is_left[static_cast<std::size_t>(row)] == 0) continue;
    is_left[static_cast<std::size_t>(row)] = 0;
    Rows group{row};
    for (const std::int64_t other : neighbours[static_cast<std::size_t>(row)]) {
      char& left = is_left[static_cast<std::size_t>(other)];
      if (left != 0) group.push_back(other);
      left = 0;
    }
    packer.add(std::move(group));
  }
  return packer.finish();
}

}  // namespace saferclip
