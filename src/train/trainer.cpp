#include "saferclip/train/trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <future>
#include <memory>

#include "saferclip/core/error.h"
#include "saferclip/core/memory.h"
#include "saferclip/core/progress.h"
#include "saferclip/core/text_format.h"
#include "saferclip/data/prefetch.h"
#include "saferclip/train/schedule.h"
#include "train/background.h"
#include "train/delayed_metrics.h"

namespace saferclip {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kPrefetchDepth = 3;

double seconds_between(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

class Loop {
 public:
  Loop(const TrainerParts& parts, const TrainerOptions& options, TrainState& state)
      : parts_(parts),
        options_(options),
        state_(state),
        total_(total_steps(options.train, parts.sampler)),
        metrics_(parts.run_folder / "metrics.jsonl", state.step, !state.awaits_validation),
        progress_(parts.log, "training", "steps", total_, state.step),
        last_save_(Clock::now()),
        last_step_(Clock::now()) {}

  void run() {
    if (state_.step > 0) {
      parts_.checkpoints.settle(state_, options_.checkpoint.keep_last,
                                options_.checkpoint.keep_best);
    }
    Prefetcher<Batch> prefetch([this](std::int64_t step) { return make_batch(step); }, state_.step,
                               total_, kPrefetchDepth);
    try {
      if (state_.awaits_validation) after_step();
      while (state_.step < total_ && !is_out_of_patience()) {
        throw_if_asked(parts_.stop, "stopped");
        step(prefetch.next());
        after_step();
      }
    } catch (const Interrupted& stopped) {
      save_and_leave(stopped.exit_code());
    }
    if (!was_saved_) save();
    saver_.wait();
    progress_.finish();
    parts_.log.info(
        cat("longest wait of a step for a checkpoint: ", fixed(1000 * longest_wait_, 1), " ms"));
    parts_.log.info(cat("peak memory: ", human_bytes(peak_memory_bytes())));
  }

 private:
  Batch make_batch(std::int64_t step) const {
    const std::vector<std::int64_t> rows = parts_.sampler.rows_of(step);
    const std::int64_t epoch = parts_.sampler.position_of(step).epoch;
    std::vector<bool> redirected;
    redirected.reserve(rows.size());
    for (const std::int64_t row : rows) redirected.push_back(parts_.redirects(row, epoch));
    return parts_.batches.gather(step, rows, redirected, parts_.device.is_cuda());
  }

  // A validation or a save that follows a step belongs to it: a run that is stopped in a validation
  // goes on with it.
  void after_step() {
    const bool is_last = state_.step == total_;
    state_.awaits_validation = state_.awaits_validation || validation_is_due(is_last);
    const bool is_best = state_.awaits_validation && validate();
    state_.awaits_validation = false;
    if (is_last || is_best || save_is_due()) save();
  }

  [[noreturn]] void save_and_leave(int exit_code) {
    if (!was_saved_) save();
    saver_.wait();
    throw Interrupted(cat("stopped ",
                          exit_code == kOutOfTime ? std::string("at the time limit")
                                                  : cat("by signal ", exit_code - 128),
                          " after step ", state_.step, "; saved, go on with --resume auto"),
                      exit_code);
  }

  void step(const Batch& batch) {
    saver_.check();
    StepLine line;
    line.step = batch.step + 1;
    line.epoch = parts_.sampler.position_of(batch.step).epoch;
    line.lr = learning_rate(options_.schedule, options_.peak_lr, batch.step, total_);
    Batch moved = move_batch(batch, parts_.device);
    if (parts_.augment) moved = parts_.augment(moved);
    const StepNumbers numbers = train_step(parts_.model, parts_.optimizer, moved, options_.step,
                                           line.lr, [this] { wait_for_copy(); });
    const auto now = Clock::now();
    line.quadruplets_per_s =
        static_cast<double>(batch.rows.size()) / seconds_between(last_step_, now);
    last_step_ = now;
    write_pending();
    pending_.put(std::move(line), numbers);
    pending_rows_ = batch.rows;
    ++state_.step;
    was_saved_ = false;
    if (parts_.device.is_cpu()) write_pending();  // nothing to wait for
    progress_.advance(1, figures_, rest_);
  }

  // Of a device, the numbers of the step before; a checkpoint is written only after its own step
  // has passed this check.
  void write_pending() {
    const std::optional<StepLine> line = pending_.take();
    if (!line) return;
    require_finite(*line);
    if (line->step % options_.log_every_steps == 0 || line->step == total_) metrics_.write(*line);
    const bool has_unsafe = loss_needs(options_.step.objective).unsafe;
    figures_ = {cat("loss ", fixed(line->loss, 4))};
    rest_ = {rate_text(line->quadruplets_per_s, has_unsafe ? "quadruplets" : "rows"),
             human_bytes(peak_memory_bytes()), cat("epoch ", line->epoch + 1),
             cat("lr ", line->lr)};
  }

  void require_finite(const StepLine& line) {
    if (std::isfinite(line.loss) && std::isfinite(line.grad_norm)) return;
    std::vector<std::string> broken, rows;
    for (const auto& [name, value] : line.terms) {
      if (!std::isfinite(value)) broken.push_back(name);
    }
    for (const std::int64_t row : pending_rows_) {
      rows.push_back(parts_.row_name ? parts_.row_name(row) : std::to_string(row));
    }
    saver_.wait();
    const std::optional<std::int64_t> good = parts_.checkpoints.pointer("latest");
    throw NumericError(cat("step ", line.step, ": ",
                           std::isfinite(line.loss) ? "the gradient" : "the loss", " is not finite",
                           broken.empty() ? "" : cat(" (terms: ", join(broken, ", "), ")"),
                           "; rows of its batch: ", join(shortened(rows, 64), ", "), "; ",
                           good ? cat("the checkpoint of step ", *good, " is untouched")
                                : std::string("nothing was saved yet"),
                           ". Lower optimizer.lr, set train.grad_clip, or train in fp32"));
  }

  bool validation_is_due(bool is_last) const {
    if (!parts_.validate || options_.validate_every_epochs == 0) return false;
    if (is_last) return true;
    const std::int64_t epoch = parts_.sampler.position_of(state_.step - 1).epoch;
    const std::int64_t next = parts_.sampler.position_of(state_.step).epoch;
    return next != epoch && next % options_.validate_every_epochs == 0;
  }

  // True when the value is the best so far.
  bool validate() {
    write_pending();
    // The steps' free memory is in pieces of their sizes; a validation's model would stand beside
    // it.
    give_back_freed_memory();
    const ValidationResult result = parts_.validate(state_.step);
    give_back_freed_memory();
    metrics_.write_evaluation(state_.step, parts_.sampler.position_of(state_.step - 1).epoch,
                              result.json);
    parts_.log.info(cat("step ", state_.step, ": ", result.summary));
    last_step_ = Clock::now();
    const bool is_best =
        result.best_value && (!state_.best_value || *result.best_value > *state_.best_value);
    if (is_best) {
      state_.best_value = result.best_value;
      state_.best_step = state_.step;
    }
    const bool is_lower = result.loss && (!state_.best_loss || *result.loss < *state_.best_loss);
    if (is_lower) state_.best_loss = result.loss;
    state_.stale_validations = is_best || is_lower ? 0 : state_.stale_validations + 1;
    if (is_out_of_patience()) {
      parts_.log.info(cat("step ", state_.step, ": ended early, ", state_.stale_validations,
                          " validations in a row were no better (checkpoint.patience)"));
    }
    return is_best;
  }

  bool is_out_of_patience() const {
    const auto& patience = options_.checkpoint.patience;
    return patience && state_.stale_validations >= *patience;
  }

  bool save_is_due() const {
    const CheckpointOptions& c = options_.checkpoint;
    if (c.every_steps > 0 && state_.step % c.every_steps == 0) return true;
    return c.every_minutes > 0 && seconds_between(last_save_, Clock::now()) >= 60 * c.every_minutes;
  }

  // On the CPU the copy is made beside the next step's passes, which only read what it copies; the
  // update waits for its end. A device's copy stands in the same queue as the passes, so at once.
  void save() {
    write_pending();
    const Clock::time_point began = Clock::now();
    const bool is_background = options_.checkpoint.background;
    const bool is_late = is_background && parts_.device.is_cpu();
    auto copied = std::make_shared<std::promise<void>>();
    saver_.wait();
    if (is_late) copied_ = copied->get_future();
    saver_.start([this, is_late, copied,
                  snapshot = take_snapshot(state_, parts_.parameters, parts_.optimizer,
                                           is_background && !is_late)]() mutable {
      if (is_late) copy_late(snapshot, *copied);
      metrics_.sync();  // a checkpoint must not outlive the lines before it
      parts_.checkpoints.save(snapshot, options_.checkpoint.keep_last,
                              options_.checkpoint.keep_best);
    });
    if (!is_background) saver_.wait();
    last_save_ = Clock::now();
    last_step_ = last_save_;
    wait_ = seconds_between(began, last_save_);
    was_saved_ = true;
  }

  void copy_late(CheckpointSnapshot& snapshot, std::promise<void>& copied) {
    try {
      copy_snapshot(snapshot, spare_);
    } catch (...) {
      copied.set_value();  // the failure itself goes the saver's way
      throw;
    }
    copied.set_value();
  }

  void wait_for_copy() {
    const Clock::time_point began = Clock::now();
    if (copied_.valid()) copied_.get();
    longest_wait_ = std::max(longest_wait_, wait_ + seconds_between(began, Clock::now()));
    wait_ = 0;
  }

  const TrainerParts& parts_;
  const TrainerOptions& options_;
  TrainState& state_;
  std::int64_t total_;
  MetricsLog metrics_;
  DelayedMetrics pending_;
  std::vector<std::int64_t> pending_rows_;
  Progress progress_;
  std::vector<std::string> figures_;  // of the last step, for its line
  std::vector<std::string> rest_;
  Clock::time_point last_save_;
  Clock::time_point last_step_;
  bool was_saved_ = false;
  std::future<void> copied_;  // the state of the last save, out of the leaves
  CheckpointSnapshot spare_;
  double wait_ = 0;  // for a save, of the step that follows it, seconds
  double longest_wait_ = 0;
  Background saver_;  // last: its work uses the members before it
};

}  // namespace

std::int64_t total_steps(const TrainOptions& options, const Sampler& sampler) {
  return options.max_steps ? *options.max_steps : sampler.steps_in_epochs(options.epochs);
}

void run_training(const TrainerParts& parts, const TrainerOptions& options, TrainState& state) {
  Loop(parts, options, state).run();
}

}  // namespace saferclip
