// The training loop: length, batch, precision, schedule, checkpoints, log.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "saferclip/core/enum_words.h"
#include "saferclip/core/fields.h"
#include "saferclip/nn/recompute.h"

namespace saferclip {

enum class Precision { kBf16, kFp16, kFp32 };
constexpr auto enum_words(Precision) {
  return std::to_array<EnumWord<Precision>>(
      {{Precision::kBf16, "bf16"}, {Precision::kFp16, "fp16"}, {Precision::kFp32, "fp32"}});
}

struct TrainOptions {
  std::int64_t epochs = 9;
  std::optional<std::int64_t> max_steps;
  std::int64_t batch_size = 48;
  std::optional<std::int64_t> micro_batch_size;
  bool gradient_cache = false;
  Recompute recompute = Recompute::kNothing;
  bool drop_last = false;
  Precision precision = Precision::kBf16;
  bool tf32 = false;
  std::optional<double> grad_clip;
  std::int64_t seed = 42;
  bool deterministic = false;
  bool shard_optimizer = false;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit(field("epochs", "Passes over the admitted rows.").at_least(0).may_change_on_resume(),
          self.epochs);
    visit(field("max_steps",
                "Stop after this many steps, regardless of epochs; null: epochs decides.")
              .at_least(0)
              .may_change_on_resume(),
          self.max_steps);
    visit(field("batch_size", "Rows per step.").at_least(1), self.batch_size);
    visit(field("micro_batch_size",
                "Rows per forward and backward pass; null: the whole batch. Terms that compare "
                "rows (InfoNCE, pres_sim_*, mutual_negatives: batch) then see only the "
                "micro-batch, unless gradient_cache is on.")
              .at_least(1),
          self.micro_batch_size);
    visit(field("gradient_cache",
                "Embed all micro-batches first, compute the losses over the whole batch, then run "
                "each micro-batch again with the gradients of its embeddings: memory of a "
                "micro-batch, losses of the batch, one more forward pass."),
          self.gradient_cache);
    visit(
        field(
            "recompute",
            "What the backward pass recomputes to save memory: nothing; attention (attention "
            "weights on the CPU, for long sequences); blocks (everything but the inputs of the "
            "transformer blocks: least memory, one more forward pass). Results are bit-identical.")
            .may_change_on_resume(),
        self.recompute);
    visit(field("drop_last", "Drop the last, smaller batch of an epoch."), self.drop_last);
    visit(field("precision",
                "bf16; fp16 (CUDA alone, with a dynamic loss scale, for cards without bf16); or "
                "fp32. In all of them trained weights, losses and moments are fp32."),
          self.precision);
    visit(field("tf32",
                "Round the operands of a step's fp32 products to TF32: faster on CUDA cards of "
                "compute capability 8.0 or more, less exact. Validations stay in fp32."),
          self.tf32);
    visit(field("grad_clip", "Largest global gradient norm; null: no clipping.").above(0),
          self.grad_clip);
    visit(field("seed", "Seed of row order, initialization and dropout.").at_least(0), self.seed);
    visit(field("deterministic", "Use LibTorch's deterministic kernels (slower on CUDA)."),
          self.deterministic);
    visit(field("shard_optimizer",
                "Of several processes each holds the moments of a part of the weights, updates "
                "it and sends it to the others (ZeRO-1): less memory, the same numbers.")
              .may_change_on_resume(),
          self.shard_optimizer);
  }
};

enum class ScheduleName { kConstant, kCosine, kLinear };
constexpr auto enum_words(ScheduleName) {
  return std::to_array<EnumWord<ScheduleName>>({{ScheduleName::kConstant, "constant"},
                                                {ScheduleName::kCosine, "cosine"},
                                                {ScheduleName::kLinear, "linear"}});
}

struct ScheduleOptions {
  ScheduleName name = ScheduleName::kConstant;
  std::int64_t warmup_steps = 0;
  double final_fraction = 0;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit(field("name", "Shape of the learning rate after the warm-up."), self.name);
    visit(field("warmup_steps", "Steps over which the learning rate rises linearly from 0.")
              .at_least(0),
          self.warmup_steps);
    visit(field("final_fraction",
                "Fraction of the peak learning rate at the last step (cosine, linear).")
              .at_least(0)
              .at_most(1),
          self.final_fraction);
  }
};

struct CheckpointOptions {
  std::int64_t every_steps = 500;
  double every_minutes = 15;
  std::int64_t keep_last = 3;
  bool keep_best = true;
  bool background = true;
  std::string best_metric = "auto";
  std::optional<std::int64_t> patience;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit(field("every_steps", "Save every this many steps; 0: only by time and at the end.")
              .at_least(0)
              .may_change_on_resume(),
          self.every_steps);
    visit(field("every_minutes", "Save every this many minutes; 0: only by steps.")
              .at_least(0)
              .may_change_on_resume(),
          self.every_minutes);
    visit(field("keep_last", "Number of newest checkpoints to keep.")
              .at_least(1)
              .may_change_on_resume(),
          self.keep_last);
    visit(field("keep_best", "Also keep the checkpoint with the best validation metric.")
              .may_change_on_resume(),
          self.keep_best);
    visit(
        field("background",
              "Write checkpoints in the background, from a copy in memory; false: training waits.")
            .may_change_on_resume(),
        self.background);
    visit(field("best_metric",
                "auto: mean of safe R@1, text to image and image to text, and of the shares of "
                "unsafe texts and unsafe images that find a safe item first; "
                "safe_clip: sum over all pairings except unsafe text with unsafe image, in both "
                "directions, each in a gallery of one kind; or a path in the evaluation's JSON, "
                "e.g. safeground.gs.")
              .may_change_on_resume(),
          self.best_metric);
    visit(field("patience",
                "Stop after this many validations in a row that improve neither best_metric nor "
                "the validation loss; null: never.")
              .at_least(1)
              .may_change_on_resume(),
          self.patience);
  }
};

struct LogOptions {
  std::int64_t every_steps = 1;
  bool tensorboard = false;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit(field("every_steps", "Write a line to metrics.jsonl every this many steps.")
              .at_least(1)
              .may_change_on_resume(),
          self.every_steps);
    visit(
        field("tensorboard",
              "Write the numbers of metrics.jsonl to tensorboard/ in the run's folder, too, with a "
              "picture of what unsafe captions find at each validation.")
            .may_change_on_resume(),
        self.tensorboard);
  }
};

}  // namespace saferclip
