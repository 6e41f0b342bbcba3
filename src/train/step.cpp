// Each micro-batch is embedded, its losses are taken and its backward pass adds to the gradients.
// Losses are divided by the counts of the whole batch, so those of the micro-batches sum to the
// batch's. With a gradient cache all micro-batches are first embedded without recording; the losses
// of the whole batch give the gradients of the embeddings; then each micro-batch is embedded again
// and those gradients are propagated back. Dropout keys depend on seed, step and the micro-batch's
// first row, so both embeddings are equal. Numbers stay on the device: reading one would wait for
// it. Of several processes each embeds its slice of the rows; the embeddings are gathered, every
// process takes the losses of all rows, propagates back through its own, and the gradients are
// summed: the result is that of one process.
#include "saferclip/train/step.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cmath>

#include "saferclip/core/matmul.h"
#include "saferclip/core/rng.h"
#include "saferclip/core/slices.h"
#include "saferclip/model/clip_forward.h"
#include "saferclip/objective/lorentz.h"
#include "train/batch_parts.h"

namespace saferclip {
namespace {

constexpr std::uint64_t kDropoutStream = 0xD209;

std::int64_t rows_of(const at::Tensor& tensor) { return tensor.defined() ? tensor.size(0) : 0; }

// Counted on the host before the batch moved to a device.
LossCounts count_rows(const Batch& batch) {
  LossCounts counts;
  counts.rows = static_cast<double>(batch.total_rows);
  counts.redirected_rows = batch.redirected_rows;
  counts.redirected_rows_with_unsafe_image = batch.redirected_rows_with_unsafe_image;
  counts.anchors_text = static_cast<double>(rows_of(batch.reference_anchor_text));
  counts.anchors_image = static_cast<double>(rows_of(batch.reference_anchor_image));
  counts.labels = batch.labels;
  return counts;
}

// The embeddings of a batch or a part of it.
struct Embedded {
  EmbeddingRows tuned;
  at::Tensor anchor_text, anchor_image;
};

// All its tensors, undefined ones included, in a fixed order.
std::vector<at::Tensor*> tensors_of(Embedded& e) {
  std::vector<at::Tensor*> tensors;
  e.tuned.for_each([&](at::Tensor& tensor) { tensors.push_back(&tensor); });
  tensors.insert(tensors.end(), {&e.anchor_text, &e.anchor_image});
  return tensors;
}

// The rows of `all` that belong to each part. One split, because its gradient is one copy.
std::vector<at::Tensor> split_like(const at::Tensor& all, const std::vector<at::Tensor>& parts) {
  std::vector<std::int64_t> sizes;
  for (const at::Tensor& part : parts) sizes.push_back(part.size(0));
  return at::split_with_sizes(all, sizes);
}

// One pass of each tower over everything in the batch. Rows without an unsafe picture get zeros. A
// process may have no rows.
Embedded embed(const ClipModel& model, const Batch& batch, const StepOptions& options,
               const ForwardMode& mode) {
  std::vector<at::Tensor> pixels{batch.safe_pixels};
  std::vector<at::Tensor> ids{batch.safe_ids};
  std::vector<at::Tensor> ends{batch.safe_ends};
  const auto add = [](std::vector<at::Tensor>& list, const at::Tensor& tensor) {
    if (tensor.defined()) list.push_back(tensor);
  };
  add(pixels, batch.unsafe_pixels);
  add(pixels, batch.anchor_pixels);
  add(ids, batch.unsafe_ids);
  add(ids, batch.anchor_ids);
  add(ends, batch.unsafe_ends);
  add(ends, batch.anchor_ends);
  const at::Tensor all_pixels = at::cat(pixels), all_ids = at::cat(ids);
  const auto nothing = [&] {
    return at::zeros({0, model.geometry.embed_dim}, model.logit_scale.options());
  };
  const at::Tensor image = all_pixels.size(0) == 0
                               ? nothing()
                               : encode_images(model, options.preprocessing, all_pixels, mode);
  const at::Tensor text =
      all_ids.size(0) == 0 ? nothing() : encode_texts(model, all_ids, at::cat(ends), mode);
  const std::vector<at::Tensor> images = split_like(image, pixels);
  const std::vector<at::Tensor> texts = split_like(text, ids);
  Embedded embedded;
  EmbeddingRows& tuned = embedded.tuned;
  tuned.safe_image = images.front();
  tuned.safe_text = texts.front();
  if (batch.unsafe_ids.defined()) {
    const std::int64_t rows = batch.safe_pixels.size(0);
    tuned.unsafe_text = texts[1];
    tuned.unsafe_image = images[1].size(0) == rows
                             ? images[1]
                             : at::zeros({rows, image.size(1)}, image.options())
                                   .index_copy(0, batch.unsafe_rows, images[1]);
  }
  if (batch.anchor_ids.defined()) embedded.anchor_text = texts.back();
  if (batch.anchor_pixels.defined()) embedded.anchor_image = images.back();
  return embedded;
}

// The embeddings of all processes, in the order of the batch; those of this one keep their
// gradient.
Embedded gathered(const Embedded& own, const BatchPart& part, const StepOptions& options) {
  if (options.processes.is_alone()) return own;
  Embedded all = own;
  // One message for the rows' embeddings.
  std::vector<at::Tensor*> tuned;
  all.tuned.for_each([&](at::Tensor& tensor) {
    if (tensor.defined()) tuned.push_back(&tensor);
  });
  std::vector<at::Tensor> columns;
  for (const at::Tensor* tensor : tuned) columns.push_back(*tensor);
  const at::Tensor rows =
      options.processes.gather_rows_with_gradient(at::cat(columns, 1), part.row_counts());
  columns = rows.chunk(static_cast<std::int64_t>(tuned.size()), 1);
  for (std::size_t i = 0; i < tuned.size(); ++i) *tuned[i] = columns[i];
  const auto gather = [&](at::Tensor& anchors, const at::Tensor& reference) {
    if (!anchors.defined()) return;
    anchors = options.processes.gather_rows_with_gradient(
        anchors, slice_sizes(rows_of(reference), options.processes.size()));
  };
  gather(all.anchor_text, part.constants.reference_anchor_text);
  gather(all.anchor_image, part.constants.reference_anchor_image);
  return all;
}

// The losses of the rows of a pass.
using Losses = std::function<LossResult(const LossInputs&)>;

LossResult losses_of(const ClipModel& model, const Embedded& embedded, const BatchPart& part,
                     const StepOptions& options, const Losses& losses) {
  const LogitScales scales{model.logit_scale, model.logit_bias, options.infonce_scale,
                           options.logit_bias, model.lorentz};
  const Embedded all = gathered(embedded, part, options);
  LossInputs inputs = make_loss_inputs(options.objective, part.constants, all.tuned, scales);
  inputs.anchor_text = all.anchor_text;
  inputs.anchor_image = all.anchor_image;
  return losses(inputs);
}

// A process without rows has nothing to propagate back.
void propagate(const at::Tensor& loss) {
  if (loss.requires_grad()) loss.backward();
}

// Several processes send gradients while the last pass completes others.
void begin_sum(const Batch& batch, const BatchPart& part, const StepOptions& options) {
  if (part.is_last && options.gradients != nullptr) options.gradients->begin(batch);
}

void add_terms(StepNumbers& numbers, const LossResult& result) {
  const at::Tensor total = result.total.detach();
  numbers.loss = numbers.loss.defined() ? numbers.loss + total : total;
  for (const LossTerm& term : result.terms) {
    bool is_known = false;
    for (auto& [name, value] : numbers.terms) {
      if (name != term.name) continue;
      value = value + term.value.detach();
      is_known = true;
    }
    if (!is_known) numbers.terms.emplace_back(term.name, term.value.detach());
  }
}

// Calls `run(part, mode)` for each micro-batch; a part's mode is the same every time. One of
// several processes must not stop alone: its request is one of the stop codes.
template <class Run>
void for_parts(const Batch& batch, const StepOptions& options, const Run& run) {
  const std::optional<std::int64_t> micro = options.train.micro_batch_size;
  const std::int64_t parts = part_count(batch, micro);
  for (std::int64_t i = 0; i < parts; ++i) {
    BatchPart part = part_of(batch, i, micro);
    part.is_last = i + 1 == parts;
    const Slice& own = part.rows[static_cast<std::size_t>(batch.share.rank)];
    const ForwardMode mode{options.compute,
                           true,
                           mix_bits(static_cast<std::uint64_t>(options.train.seed),
                                    {kDropoutStream, static_cast<std::uint64_t>(batch.step),
                                     static_cast<std::uint64_t>(own.begin)}),
                           options.processes.is_alone() ? options.stop : nullptr,
                           options.train.recompute,
                           options.copies};
    run(part, mode);
  }
}

void collect_gradients(const StepOptions& options) {
  if (options.copies != nullptr) options.copies->collect_gradients();
}

StepNumbers run_plain_passes(const ClipModel& model, const Optimizer& optimizer, const Batch& batch,
                             const StepOptions& options, const Losses& losses) {
  StepNumbers numbers;
  for_parts(batch, options, [&](const BatchPart& part, const ForwardMode& mode) {
    const LossResult result =
        losses_of(model, embed(model, part.own, options, mode), part, options, losses);
    begin_sum(batch, part, options);
    propagate(optimizer.scaled(result.total));
    collect_gradients(options);
    add_terms(numbers, result);
  });
  return numbers;
}

// The embeddings of the whole batch as leaves, computed without recording.
Embedded embed_all(const ClipModel& model, const Batch& batch, const StepOptions& options) {
  const at::NoGradGuard guard;
  std::vector<std::vector<at::Tensor>> parts;
  for_parts(batch, options, [&](const BatchPart& part, const ForwardMode& mode) {
    Embedded e = embed(model, part.own, options, mode);
    const std::vector<at::Tensor*> tensors = tensors_of(e);
    parts.resize(tensors.size());
    for (std::size_t i = 0; i < tensors.size(); ++i) {
      if (tensors[i]->defined()) parts[i].push_back(*tensors[i]);
    }
  });
  Embedded all;
  const std::vector<at::Tensor*> tensors = tensors_of(all);
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    if (!parts[i].empty()) *tensors[i] = at::cat(parts[i]).requires_grad_(true);
  }
  return all;
}

// Anchors are in the first micro-batch only, so consecutive rows match their gradients as well.
StepNumbers run_cached_passes(const ClipModel& model, const Optimizer& optimizer,
                              const Batch& batch, const StepOptions& options,
                              const Losses& losses) {
  Embedded all = embed_all(model, batch, options);
  const LossResult result = losses_of(model, all, whole_part(batch), options, losses);
  propagate(optimizer.scaled(result.total));
  const std::vector<at::Tensor*> leaves = tensors_of(all);
  std::vector<std::int64_t> next(leaves.size(), 0);
  for_parts(batch, options, [&](const BatchPart& part, const ForwardMode& mode) {
    Embedded e = embed(model, part.own, options, mode);
    const std::vector<at::Tensor*> tensors = tensors_of(e);
    std::vector<at::Tensor> outputs, gradients;
    for (std::size_t i = 0; i < tensors.size(); ++i) {
      if (!tensors[i]->defined()) continue;
      const std::int64_t rows = tensors[i]->size(0);
      const at::Tensor& gradient = leaves[i]->grad();
      if (gradient.defined() && tensors[i]->requires_grad()) {
        outputs.push_back(*tensors[i]);
        gradients.push_back(gradient.narrow(0, next[i], rows));
      }
      next[i] += rows;
    }
    begin_sum(batch, part, options);
    if (!outputs.empty()) torch::autograd::backward(outputs, gradients);
    collect_gradients(options);
  });
  StepNumbers numbers;
  add_terms(numbers, result);
  return numbers;
}

// Adds the gradients of the losses of the whole batch to the leaves'.
StepNumbers run_passes(const ClipModel& model, const Optimizer& optimizer, const Batch& batch,
                       const StepOptions& options, const Losses& losses) {
  const bool is_cached =
      options.train.gradient_cache && part_count(batch, options.train.micro_batch_size) > 1;
  return is_cached ? run_cached_passes(model, optimizer, batch, options, losses)
                   : run_plain_passes(model, optimizer, batch, options, losses);
}

// What gradient dropout compares the step's gradient with; nothing else remains of its passes.
struct GeneralGradients {
  std::vector<at::Tensor> of_scores;
  std::vector<std::pair<std::string, at::Tensor>> terms;  // to log
};
GeneralGradients general_gradients(const ClipModel& model, Optimizer& optimizer, const Batch& batch,
                                   const StepOptions& options, const LossCounts& counts) {
  if (options.masks == nullptr || !options.masks->drops_gradients()) return {};
  const MaskTraining& masks = *options.masks;
  const Batch half = safe_half(batch, masks.general_reads_anchors());
  const StepNumbers numbers =
      run_passes(model, optimizer, half, options,
                 [&](const LossInputs& inputs) { return masks.general_loss(inputs, counts); });
  if (options.gradients != nullptr) options.gradients->finish(0);
  GeneralGradients general{masks.gradients(), {}};
  for (const auto& term : numbers.terms) {
    if (term.first == masks.general_term()) general.terms.push_back(term);
  }
  optimizer.zero_grad();
  return general;
}

// The term of all scores, once a step: every process has it whole, so it comes after their sum.
void add_mask_norm(const MaskTraining& masks, const Optimizer& optimizer, StepNumbers& numbers) {
  if (masks.norm_weight() == 0) return;
  const at::Tensor norm = masks.norm();
  const at::Tensor weighted = norm * masks.norm_weight();
  optimizer.scaled(weighted).backward();
  numbers.loss = numbers.loss + weighted.detach();
  numbers.terms.emplace_back("mask_norm", norm.detach());
}

// open_clip keeps the scale within [1, 100], for SigLIP too.
void clamp_logit_scale(ClipModel& model) {
  const at::NoGradGuard guard;
  model.logit_scale.clamp_(0, std::log(100.0));
}

}  // namespace

StepNumbers train_step(ClipModel& model, Optimizer& optimizer, const Batch& batch,
                       const StepOptions& options, double lr,
                       const std::function<void()>& before_update, const StepRequest& request) {
  const LossCounts counts = count_rows(batch);
  optimizer.zero_grad();
  if (options.copies != nullptr) options.copies->refresh();
  const Tf32Products products(options.train.tf32);
  const GeneralGradients general = general_gradients(model, optimizer, batch, options, counts);
  StepNumbers numbers = run_passes(model, optimizer, batch, options, [&](const LossInputs& inputs) {
    return compute_losses(options.objective, inputs, counts);
  });
  if (options.gradients != nullptr) numbers.requests = options.gradients->finish(request.code());
  if (options.masks != nullptr) {
    add_mask_norm(*options.masks, optimizer, numbers);
    if (!general.of_scores.empty()) options.masks->drop_gradients(general.of_scores, batch.step);
    numbers.terms.insert(numbers.terms.end(), general.terms.begin(), general.terms.end());
  }
  numbers.grad_norm = optimizer.clip_gradients(options.train.grad_clip);
  if (before_update) before_update();
  optimizer.step(lr);
  if (options.shards != nullptr) options.shards->spread();
  if (options.masks != nullptr) numbers.masked_fraction = options.masks->masked_fraction();
  if (const LossScale* scale = optimizer.loss_scale()) {
    numbers.loss_scale = scale->scale();
    numbers.is_skipped = scale->found_inf();
  }
  if (options.trains_logit_scale) clamp_logit_scale(model);
  if (model.lorentz.is_defined()) clamp_lorentz_scalars(model.lorentz);
  return numbers;
}

}  // namespace saferclip
