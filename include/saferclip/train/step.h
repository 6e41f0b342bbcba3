// One optimization step: forward passes, losses, gradients, update. It never waits for the device.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "saferclip/core/preprocessing.h"
#include "saferclip/data/batch.h"
#include "saferclip/distributed/processes.h"
#include "saferclip/model/clip_model.h"
#include "saferclip/nn/optimizer.h"
#include "saferclip/objective/loss_set.h"
#include "saferclip/train/gradient_sum.h"
#include "saferclip/train/mask_training.h"
#include "saferclip/train/optimizer_shards.h"
#include "saferclip/train/train_options.h"

namespace saferclip {

struct StepOptions {
  TrainOptions train;  // micro-batches, gradient cache, recomputation, clipping, seed
  ObjectiveOptions objective;
  Preprocessing preprocessing;
  at::ScalarType compute = at::kFloat;
  bool trains_logit_scale = false;
  // For contrastive terms that do not use the model's own: exp(logit_scale), and the bias.
  double infonce_scale = 100;
  double logit_bias = 0;
  const StopFlag* stop = nullptr;
  ComputeCopies* copies = nullptr;  // of the trained tensors; null: each pass casts them
  // With several processes: they share each batch. Called by all with the same step.
  Processes processes;
  GradientSum* gradients = nullptr;
  const OptimizerShards* shards = nullptr;  // null: each updates all leaves
  const MaskTraining* masks = nullptr;      // of a run that trains masks
};

// The numbers of a step as 0-d tensors on the device: loss, gradient norm, raw terms. In fp16 also
// the loss scale after the step, and whether its update was skipped (1 or 0).
struct StepNumbers {
  at::Tensor loss;
  at::Tensor grad_norm;
  at::Tensor loss_scale;
  at::Tensor is_skipped;
  at::Tensor masked_fraction;  // after the step, of a run that trains masks
  at::Tensor requests;         // [size]: the StepRequest codes of several processes
  std::vector<std::pair<std::string, at::Tensor>> terms;
};

// What one of several processes tells the others with its gradients: they agree on it in the same
// step.
struct StepRequest {
  int stop_code = 0;     // of a request to stop; 0: none
  bool is_save = false;  // the first process wants a checkpoint
  int code() const { return stop_code + (is_save ? kSave : 0); }
  static StepRequest of(int code) { return {code % kSave, code >= kSave}; }

 private:
  static constexpr int kSave = 1024;  // exit codes are smaller
};

// Runs the batch (already on the device) in micro-batches, then one optimizer update at rate `lr`.
// With a gradient cache (arXiv 2101.06983) the losses are taken over the whole batch.
// `before_update` is called when all passes are done: until then weights and moments are only read,
// and options.stop may end the step with Interrupted, unless there are several processes.
StepNumbers train_step(ClipModel& model, Optimizer& optimizer, const Batch& batch,
                       const StepOptions& options, double lr,
                       const std::function<void()>& before_update = {},
                       const StepRequest& request = {});

}  // namespace saferclip
