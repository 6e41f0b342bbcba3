// A save must not hold up the steps. On the CPU the saver's thread copies the state while the next
// step runs its passes, which only read weights and moments; the update waits for that copy. On a
// GPU a stream of its own downloads the state beside those passes, and the update, not the host,
// waits for it.
#include "train/background_saver.h"

#include <algorithm>
#include <memory>

namespace saferclip {
namespace {

double seconds_since(std::chrono::steady_clock::time_point from) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - from).count();
}

}  // namespace

bool BackgroundSaver::is_due_by_steps(std::int64_t step) const {
  const CheckpointOptions& options = saved_.options;
  return options.every_steps > 0 && step % options.every_steps == 0;
}

bool BackgroundSaver::is_due_by_time() const {
  const CheckpointOptions& options = saved_.options;
  return saved_.writes && options.every_minutes > 0 &&
         seconds_since(last_save_) >= 60 * options.every_minutes;
}

void BackgroundSaver::save(const TrainState& state) {
  if (!saved_.writes) {
    if (saved_.shards != nullptr) {
      take_snapshot(state, saved_.parameters, saved_.optimizer, SnapshotMemory::kViews,
                    saved_.shards);
    }
    return;
  }
  const Clock::time_point began = Clock::now();
  const bool is_background = saved_.options.background;
  const bool copies_late = is_background && saved_.is_on_cpu;
  auto copied = std::make_shared<std::promise<void>>();
  worker_.wait();
  if (copies_late) copied_ = copied->get_future();
  CheckpointSnapshot snapshot = take_snapshot(
      state, saved_.parameters, saved_.optimizer,
      is_background && !copies_late ? SnapshotMemory::kCopies : SnapshotMemory::kViews,
      saved_.shards);
  downloads_ = snapshot.downloads;
  worker_.start([this, copies_late, copied, snapshot = std::move(snapshot)]() mutable {
    snapshot.downloads.wait();
    if (copies_late) copy_beside_step(snapshot, *copied);
    saved_.metrics.sync();
    saved_.checkpoints.save(snapshot, {saved_.options.keep_last, saved_.options.keep_best});
  });
  if (!is_background) worker_.wait();
  last_save_ = Clock::now();
  wait_ = seconds_since(began);
}

void BackgroundSaver::copy_beside_step(CheckpointSnapshot& snapshot, std::promise<void>& copied) {
  try {
    copy_snapshot(snapshot, spare_);
  } catch (...) {
    copied.set_value();  // wait() or check() throws the failure itself
    throw;
  }
  copied.set_value();
}

void BackgroundSaver::wait_for_copy() {
  const Clock::time_point began = Clock::now();
  if (copied_.valid()) copied_.get();
  downloads_.precede_later_work();
  downloads_ = {};
  longest_wait_ = std::max(longest_wait_, wait_ + seconds_since(began));
  wait_ = 0;
}

}  // namespace saferclip
