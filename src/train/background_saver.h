// Writes checkpoints in the background.
#pragma once

#include <chrono>
#include <future>
#include <optional>
#include <vector>

#include "saferclip/nn/optimizer.h"
#include "saferclip/train/checkpoint.h"
#include "saferclip/train/metrics_log.h"
#include "saferclip/train/train_options.h"
#include "train/background.h"

namespace saferclip {

// What is saved, and where. The references must outlive the saver.
struct SavedParts {
  CheckpointStore& checkpoints;
  MetricsLog& metrics;  // flushed first: a checkpoint must not be newer than the log
  const CheckpointOptions& options;
  const std::vector<TrainedParameter>& parameters;
  const Optimizer& optimizer;
  bool is_on_cpu = true;  // whether the parameters are
  bool writes = true;     // false: another process of the run does
  const OptimizerShards* shards = nullptr;
};

class BackgroundSaver {
 public:
  explicit BackgroundSaver(const SavedParts& saved) : saved_(saved) {}

  // Whether `step` is due for a save by checkpoint.every_steps, and whether one is due by
  // checkpoint.every_minutes, of which only the process that writes knows.
  bool is_due_by_steps(std::int64_t step) const;
  bool is_due_by_time() const;

  // Waits for the previous save, rethrows what it threw, then starts saving the state. With
  // checkpoint.background: false it waits for the end. Where moments are sharded, all processes
  // call it, after the same step.
  void save(const TrainState& state);

  // Waits for the end of the save; rethrows what it threw, once.
  void wait() { worker_.wait(); }
  // Rethrows if a save has failed; does not wait.
  void check() { worker_.check(); }

  // Call before weights or moments change: a save copies them during the next step's passes, which
  // only read them.
  void wait_for_copy();

  // The longest that a step waited for saves, in seconds.
  double longest_wait() const { return longest_wait_; }

 private:
  using Clock = std::chrono::steady_clock;

  void copy_beside_step(CheckpointSnapshot& snapshot, std::promise<void>& copied);

  SavedParts saved_;
  Clock::time_point last_save_ = Clock::now();
  Downloads downloads_;       // of the last save, from a GPU
  std::future<void> copied_;  // set when the last save has copied the parameters
  CheckpointSnapshot spare_;  // memory of the last copy, reused by the next
  double wait_ = 0;           // of the next step for this save, in seconds
  double longest_wait_ = 0;
  Background worker_;  // last: its task uses the members above
};

}  // namespace saferclip
