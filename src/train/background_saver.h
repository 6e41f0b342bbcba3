// Checkpoints written beside the training.
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
  MetricsLog& metrics;  // flushed before each checkpoint, which must not outlive its lines
  const CheckpointOptions& options;
  const std::vector<TrainedParameter>& parameters;
  const Optimizer& optimizer;
  bool is_on_cpu = true;  // where the parameters are
};

class BackgroundSaver {
 public:
  explicit BackgroundSaver(const SavedParts& saved) : saved_(saved) {}

  // Whether a step's save is due by checkpoint.every_steps or checkpoint.every_minutes.
  bool is_due(std::int64_t step) const;

  // Starts a save of the state, after the one before it. With checkpoint.background: false it
  // waits for the end. Throws what the save before it threw.
  void save(const TrainState& state);

  // Waits for the end of the save; throws what it threw, once.
  void wait() { worker_.wait(); }
  // Throws as soon as a save has failed; does not wait.
  void check() { worker_.check(); }

  // To be called before weights or moments change: on the CPU a save copies them beside the next
  // step's passes, which only read them.
  void wait_for_copy();

  // The longest time that a step waited for saves, in seconds.
  double longest_wait() const { return longest_wait_; }

 private:
  using Clock = std::chrono::steady_clock;

  void copy_beside_step(CheckpointSnapshot& snapshot, std::promise<void>& copied);

  SavedParts saved_;
  Clock::time_point last_save_ = Clock::now();
  std::future<void> copied_;  // the state of the last save, out of the parameters
  CheckpointSnapshot spare_;  // memory of the last copy, lent to the next one
  double wait_ = 0;           // for a save, of the step that follows it, in seconds
  double longest_wait_ = 0;
  Background worker_;  // last: its work uses the members before it
};

}  // namespace saferclip
