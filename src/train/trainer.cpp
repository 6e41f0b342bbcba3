// The loop decides the order alone: gather, step, log, validate, save. A validation or save after a
// step belongs to that step, so a run stopped during a validation repeats it when resumed. Batches
// are gathered ahead on another thread; saves run in the background; numbers are checked before
// anything is saved.
#include "saferclip/train/trainer.h"

#include <algorithm>
#include <utility>

#include "saferclip/core/error.h"
#include "saferclip/core/memory.h"
#include "saferclip/core/progress.h"
#include "saferclip/core/text_format.h"
#include "saferclip/data/prefetch.h"
#include "saferclip/nn/cuda_card.h"
#include "saferclip/objective/loss_set.h"
#include "saferclip/train/schedule.h"
#include "train/background_saver.h"
#include "train/step_log.h"
#include "train/throughput.h"

namespace saferclip {
namespace {

constexpr std::size_t kPrefetchDepth = 3;

bool validation_is_due(const TrainerParts& parts, const TrainerOptions& options,
                       std::int64_t step) {
  if (parts.validation == nullptr || options.validate_every_epochs == 0) return false;
  if (step == total_steps(options.step.train, parts.sampler)) return true;
  const std::int64_t epoch = parts.sampler.position_of(step - 1).epoch;
  const std::int64_t next = parts.sampler.position_of(step).epoch;
  return next != epoch && next % options.validate_every_epochs == 0;
}

std::string closing_text(double longest_wait, std::int64_t skipped, c10::Device device) {
  std::string text =
      cat(skipped > 0 ? cat(with_commas(skipped),
                            " updates were skipped because their gradients "
                            "overflowed in fp16; ")
                      : std::string(),
          "longest time a step waited for a checkpoint: ", fixed(1000 * longest_wait, 1),
          " ms; peak memory: ", human_bytes(peak_memory_bytes()));
  if (const std::optional<DeviceMemory> memory = device_memory(device)) {
    text += cat(" on the host, ", human_bytes(memory->peak), " of ", human_bytes(memory->total),
                " on ", device.str());
  }
  return text;
}

class Loop {
 public:
  Loop(const TrainerParts& parts, const TrainerOptions& options, TrainState& state)
      : parts_(parts),
        options_(options),
        state_(state),
        total_(total_steps(options.step.train, parts.sampler)),
        first_(state.step),
        has_unsafe_(loss_needs(options.step.objective).unsafe),
        processes_(options.step.processes),
        is_first_(processes_.is_first()),
        metrics_(is_first_ ? parts.run_folder / "metrics.jsonl" : "", state.step,
                 state.awaits_validation ? LastEvaluation::kRunsAgain : LastEvaluation::kDone,
                 options.log.tensorboard ? parts.run_folder / "tensorboard" : ""),
        steps_(metrics_, options.log.every_steps, total_),
        progress_(parts.log, "training", "steps", total_, state.step),
        saver_({parts.checkpoints, metrics_, options.checkpoint, parts.parameters, parts.optimizer,
                parts.device.is_cpu(), is_first_, options.step.shards}) {}

  void run() {
    if (state_.step > 0 && is_first_) {
      parts_.checkpoints.settle(state_,
                                {options_.checkpoint.keep_last, options_.checkpoint.keep_best});
    }
    Prefetcher<Batch> prefetch(
        [this, memory = parts_.device.is_cuda() ? HostMemory::kPinned : HostMemory::kPageable](
            std::int64_t step) { return parts_.batches.gather(step, memory); },
        state_.step, total_, kPrefetchDepth);
    try {
      if (state_.awaits_validation) after_step();
      while (state_.step < total_ && !is_out_of_patience(state_, options_.checkpoint)) {
        stop_if_asked();
        step(prefetch.next());
        after_step();
      }
    } catch (const Interrupted& stopped) {
      save_and_leave(stopped.exit_code());
    }
    if (!was_saved_) save();
    saver_.wait();
    progress_.finish();
    report_masks();
    parts_.log.info(closing_text(saver_.longest_wait(), steps_.skipped(), parts_.device));
    if (!processes_.is_alone()) {
      parts_.log.info(
          cat("the host waited ", fixed(processes_.waited_seconds(), 1), " s for other processes"));
    }
  }

 private:
  // What the masks of this run have become, if it made a step.
  void report_masks() {
    const MaskTraining* masks = options_.step.masks;
    if (masks == nullptr || state_.step == first_) return;
    const double fraction = masks->masked_fraction().item<double>();
    metrics_.write_masks(state_.step, fraction, masks->masked_fractions());
    metrics_.sync();
    parts_.log.info(
        cat("masks: ", fixed(100 * fraction, 3), " % of the weights with masks are off"));
    if (fraction > 0) return;
    parts_.log.warn(
        "no weight was switched off, so the masks changed nothing; train longer, raise "
        "optimizer.lr, or lower adapter.init towards adapter.threshold");
  }

  // Several processes stop after the step whose sums told them all of the request.
  void stop_if_asked() const {
    if (processes_.is_alone()) throw_if_stopped(options_.step.stop, "stopped");
    const int code = steps_.line().stop_code;
    if (code != 0) throw Interrupted("stopped", code);
  }

  // What this process has to tell the others; each save by time is asked for once.
  StepRequest request() {
    if (processes_.is_alone()) return {};
    const StopFlag* stop = options_.step.stop;
    const bool asks = saver_.is_due_by_time() && !has_asked_;
    has_asked_ = has_asked_ || asks;
    return {stop == nullptr ? 0 : stop->exit_code(), asks};
  }

  bool is_save_due() const {
    return saver_.is_due_by_steps(state_.step) ||
           (processes_.is_alone() ? saver_.is_due_by_time() : steps_.line().asks_save);
  }

  void step(const Batch& batch) {
    saver_.check();
    StepLine line;
    line.step = batch.step + 1;
    line.epoch = parts_.sampler.position_of(batch.step).epoch;
    line.lr = learning_rate(options_.schedule, options_.peak_lr, batch.step, total_);
    const Batch moved = parts_.batches.augment(move_batch(batch, parts_.device));
    const double waited = processes_.waited_seconds();
    const StepNumbers numbers = train_step(
        parts_.model, parts_.optimizer, moved, options_.step, line.lr,
        [this] { saver_.wait_for_copy(); }, request());
    if (!processes_.is_alone()) line.waited_s = processes_.waited_seconds() - waited;
    line.quadruplets_per_s = throughput_.step_rate(batch.total_rows);
    line.device_peak_bytes = device_peak_bytes(parts_.device);
    flush_log();
    steps_.put(std::move(line), numbers);
    ++state_.step;
    was_saved_ = false;
    if (parts_.device.is_cpu()) flush_log();  // nothing to wait for
    show_step(steps_.line(), has_unsafe_, progress_);
  }

  void after_step() {
    state_.awaits_validation =
        state_.awaits_validation || validation_is_due(parts_, options_, state_.step);
    const bool is_best = state_.awaits_validation && validate();
    state_.awaits_validation = false;
    if (state_.step == total_ || is_best || is_save_due()) save();
  }

  // Returns whether the value is the best so far.
  bool validate() {
    flush_log();
    // The memory freed by steps is in pieces too small for the validation's model.
    give_back_freed_memory();
    const ValidationResult result = parts_.validation->validate(state_.step);
    give_back_freed_memory();
    metrics_.write_evaluation(state_.step, parts_.sampler.position_of(state_.step - 1).epoch,
                              result.json);
    parts_.log.info(cat("step ", state_.step, ": ", result.summary));
    throughput_.restart();
    const bool is_best = record_validation(result, state_);
    if (is_out_of_patience(state_, options_.checkpoint)) {
      parts_.log.info(cat("step ", state_.step, ": stopped early: ", state_.stale_validations,
                          " validations in a row without improvement (checkpoint.patience)"));
    }
    return is_best;
  }

  void save() {
    flush_log();
    saver_.save(state_);
    throughput_.restart();
    was_saved_ = true;
    has_asked_ = false;
  }

  [[noreturn]] void save_and_leave(int exit_code) {
    if (!was_saved_) save();
    saver_.wait();
    throw Interrupted(stopped_text(state_.step, exit_code), exit_code);
  }

  void flush_log() {
    if (steps_.flush()) return;
    std::vector<std::string> names;
    for (const std::int64_t row : parts_.sampler.rows_of(steps_.line().step - 1)) {
      names.push_back(parts_.batches.row_name(row));
    }
    saver_.wait();
    throw NumericError(not_finite_text(steps_.line(), names, parts_.checkpoints.pointer("latest")));
  }

  const TrainerParts& parts_;
  const TrainerOptions& options_;
  TrainState& state_;
  std::int64_t total_;
  std::int64_t first_;  // steps done before
  bool has_unsafe_;
  const Processes& processes_;
  bool is_first_;  // of the processes: it writes
  MetricsLog metrics_;
  StepLog steps_;
  Progress progress_;
  Throughput throughput_;
  bool was_saved_ = false;
  bool has_asked_ = false;  // for a save by time
  BackgroundSaver saver_;   // last: it writes what the members above hold
};

}  // namespace

std::int64_t total_steps(const TrainOptions& options, const Sampler& sampler) {
  return options.max_steps ? *options.max_steps : sampler.steps_in_epochs(options.epochs);
}

void run_training(const TrainerParts& parts, const TrainerOptions& options, TrainState& state) {
  Loop(parts, options, state).run();
}

}  // namespace saferclip
