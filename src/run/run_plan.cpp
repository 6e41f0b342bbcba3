// What a run will do and how much memory it will take, from configuration, caches and geometry,
// before the first step. This file only collects the numbers; the model behind them is
// train/memory_plan.h. Caches are mapped, so a short run is charged only the share of rows it
// reads.
#include "saferclip/run/run_plan.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <optional>
#include <sstream>

#include "run/joint_rows.h"
#include "run/table_cells.h"
#include "saferclip/core/display.h"
#include "saferclip/core/slices.h"
#include "saferclip/core/text_format.h"
#include "saferclip/model/tensor_slots.h"
#include "saferclip/nn/cuda_card.h"
#include "saferclip/objective/loss_set.h"
#include "saferclip/run/training_data.h"
#include "saferclip/train/optimizer_shards.h"
#include "saferclip/train/trainer.h"

namespace saferclip {
namespace {

// Batches gathered ahead of the steps, plus the one in use.
constexpr std::int64_t kBatches = 4;

std::string bytes_text(std::int64_t bytes) {
  return human_bytes(static_cast<std::uint64_t>(bytes));
}

std::int64_t bytes_of(std::initializer_list<at::Tensor> tensors) {
  std::int64_t bytes = 0;
  for (const at::Tensor& tensor : tensors) {
    if (tensor.defined()) bytes += static_cast<std::int64_t>(tensor.nbytes());
  }
  return bytes;
}

// The longest caption in tokens, rounded up as batches are.
std::int64_t longest_caption(const TokenCache& tokens) {
  std::int64_t longest = 0;
  for (const at::Tensor& ids : {tokens.safe, tokens.unsafe}) {
    if (!ids.defined()) continue;
    const at::Tensor ends = end_positions(ids, tokens.pooled);
    longest = std::max(longest, cut_length(ends, ids.size(1)));
  }
  return longest;
}

// The text in lines of at most 80 columns, below each other from the 12th column on.
std::string wrapped_entry(const std::string& text) {
  const std::string indent(11, ' ');
  std::string lines, line;
  std::istringstream in(text);
  for (std::string word; std::getline(in, word, ' ');) {
    if (!line.empty() && display_columns(indent + line + " " + word) > kTableWidth) {
      lines += line + "\n" + indent;
      line.clear();
    }
    line += (line.empty() ? "" : " ") + word;
  }
  return lines + line;
}

std::string parts_text(const std::vector<MemoryPart>& parts) {
  std::vector<std::string> sizes;
  for (const MemoryPart& part : parts) {
    if (part.bytes > 0) sizes.push_back(cat(part.name, " ", bytes_text(part.bytes)));
  }
  return cat("about ", bytes_text(total_bytes(parts)), " at most (", join(sizes, ", "), ")");
}

// Whether the frozen reference embeds rows before training.
bool needs_preparing(const RunConfig& config) {
  return loss_needs(config.objective).reference ||
         (!config.data.validation.empty() && config.model.init.empty());
}

}  // namespace

MemoryPlan memory_plan(const Session& session, const TrainingData& data, const Sampler& sampler,
                       const std::vector<TrainedParameter>& parameters) {
  const RunConfig& config = session.config;
  const RowNeeds needs = loss_needs(config.objective);
  const int processes = session.processes.size();
  const std::int64_t share = slice_of(config.train.batch_size, 0, processes).size();
  const std::int64_t rows = std::min(share, config.train.micro_batch_size.value_or(share));
  const std::int64_t kinds = needs.unsafe ? 2 : 1;
  const std::int64_t anchors = slice_of(config.objective.anchors.batch_size, 0, processes).size();
  MemoryPlan plan;
  plan.geometry = session.source.geometry;
  plan.pictures = kinds * rows + (needs.anchor_image ? anchors : 0);
  plan.captions = kinds * rows + (needs.anchor_text ? anchors : 0);
  plan.tokens = longest_caption(data.train.tokens);
  plan.is_half = precision_on(session.device, config.train.precision) != Precision::kFp32;
  plan.is_on_device = session.device.is_cuda();
  plan.trains_all = config.adapter.method == AdapterMethod::kFull;
  for (const TrainedParameter& parameter : parameters) {
    plan.trained_parameters += parameter.tensor.numel();
  }
  plan.held_parameters =
      config.train.shard_optimizer ? largest_shard(parameters, processes) : plan.trained_parameters;
  plan.rank = config.adapter.method == AdapterMethod::kLora ? config.adapter.rank : 0;
  plan.dropout = plan.trains_all ? 0 : config.adapter.dropout;
  const bool drops =
      config.adapter.method == AdapterMethod::kMask && config.adapter.gradient_dropout.enabled;
  plan.gradient_sets = drops ? 2 : 1;
  plan.recompute = config.train.recompute;
  plan.copies_state = config.checkpoint.background;
  plan.validates = !config.data.validation.empty() && config.evaluate.every_epochs > 0;
  const SplitData& train = data.train;
  const std::int64_t caches =
      bytes_of({train.images.safe, train.images.unsafe, train.tokens.safe, train.tokens.unsafe,
                train.reference.safe_text, train.reference.safe_image, train.reference.unsafe_text,
                train.reference.unsafe_image, data.anchors.images});
  plan.caches = caches;
  plan.keeps_reference = config.data.augment == Augmentation::kCrop && needs.reference;
  const auto all_rows = static_cast<double>(train.good_rows.size());
  const double seen = static_cast<double>(total_steps(config.train, sampler)) *
                      static_cast<double>(config.train.batch_size) / all_rows;
  plan.mapped = static_cast<std::int64_t>(std::min(1.0, seen) * static_cast<double>(caches));
  const std::int64_t side = plan.geometry.image_size;
  plan.batch_bytes = (plan.is_on_device ? 1 : kBatches) * 3 * side * side *
                     (kinds * share + (needs.anchor_image ? anchors : 0));
  return plan;
}

std::int64_t predicted_bytes(const MemoryPlan& plan) { return total_bytes(memory_parts(plan)); }

std::vector<std::string> memory_problems(const MemoryPlan& plan, at::Device device) {
  const std::optional<DeviceMemory> memory = device_memory(device);
  const std::int64_t needed = predicted_bytes(plan);
  if (!memory || static_cast<std::uint64_t>(needed) <= memory->free + memory->used) return {};
  return {cat("this run needs about ", bytes_text(needed), " of memory on ", device.str(),
              ", where ", human_bytes(memory->free + memory->used), " of ",
              human_bytes(memory->total),
              " are free: lower train.micro_batch_size (with train.gradient_cache: true the losses "
              "remain those of the whole batch), or set train.recompute: blocks")};
}

std::string plan_text(const Session& session, const TrainingData& data, const Sampler& sampler,
                      const std::vector<TrainedParameter>& parameters) {
  std::int64_t trained = 0;
  for (const TrainedParameter& parameter : parameters) trained += parameter.tensor.numel();
  const RunConfig& config = session.config;
  std::string text =
      cat("model      ", wrapped_entry(to_string(session.source.geometry)), "\n", "trained    ",
          with_commas(trained), " of ", with_commas(parameter_count(session.source.geometry)),
          " parameters (", config.adapter.method, ")\n");
  text += cat("objective  ", config.objective.name, "; batch ", config.train.batch_size, ", ",
              precision_on(session.device, config.train.precision), ", ", config.optimizer.name,
              " lr ", config.optimizer.lr, "\n");
  if (!session.processes.is_alone()) {
    text +=
        cat("processes  ",
            wrapped_entry(cat(session.processes.size(), ", which share each batch; each has up to ",
                              bytes_text(4 * trained),
                              " of gradients to add up in a step; memory is that of one")),
            "\n");
  }
  text += cat("steps      ", with_commas(total_steps(config.train, sampler)), " (rows per epoch: ");
  std::vector<std::string> counts;
  for (std::int64_t epoch = 0; epoch < 3; ++epoch) {
    counts.push_back(with_commas(
        static_cast<std::int64_t>(admitted_rows(data, config.objective, epoch).size())));
  }
  text += join(counts, ", ") + ", …)";
  if (data.neighbours != nullptr) text += "\nneighbors  " + joint_rows_text(data);
  if (!session.device.is_cpu())
    text += "\ndevice     " + wrapped_entry(describe_card(session.device));
  const MemoryPlan plan = memory_plan(session, data, sampler, parameters);
  text += "\nmemory     " + wrapped_entry(parts_text(memory_parts(plan)));
  if (needs_preparing(config)) {
    text += "\npreparing  " +
            wrapped_entry(parts_text(preparing_parts(plan)) + ", if caches are missing");
  }
  return text;
}

}  // namespace saferclip
