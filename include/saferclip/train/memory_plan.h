// Predicts the peak memory of a training run, on the CPU or of a CUDA device, from shapes: what the
// backward passes of nn/ keep, and what the optimizer and the saves hold. All sizes are in bytes.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "saferclip/model/clip_model.h"

namespace saferclip {

struct MemoryPlan {
  ClipGeometry geometry;
  // Of one forward and backward pass: a micro-batch with its anchors, safe and unsafe together.
  std::int64_t pictures = 0;
  std::int64_t captions = 0;
  std::int64_t tokens = 0;              // per caption, the longest one's
  bool is_half = false;                 // computes in bf16 or fp16
  bool is_on_device = false;            // a CUDA device: memory_parts are those of its memory
  bool trains_all = false;              // false: adapters on frozen weights
  std::int64_t trained_parameters = 0;  // fp32 numbers
  std::int64_t held_parameters = 0;     // those whose moments this process holds
  std::int64_t rank = 0;                // of the adapters
  std::int64_t gradient_sets = 1;       // gradients of all trained numbers at the same time
  double dropout = 0;
  Recompute recompute = Recompute::kNothing;
  bool copies_state = true;      // saves are written in the background, from a copy
  bool validates = false;        // adds a tuned fp32 model and the rows it embeds
  bool keeps_reference = false;  // the frozen fp32 model stays loaded to embed cropped pictures
  // The part of the cache files that the run reads; mapped pages count while they are in memory.
  std::int64_t mapped = 0;
  std::int64_t caches = 0;       // the part that preparation reads or writes
  std::int64_t batch_bytes = 0;  // of the prefetched batches
};

struct MemoryPart {
  std::string name;
  std::int64_t bytes = 0;
};

// Rows per block when evaluation and preparation embed.
inline constexpr std::int64_t kEmbeddedRows = 64;

// Parts that sum to the peak of training itself: program (on a device: CUDA's own memory), weights,
// gradients, moments, copy, activations, workspace, data.
std::vector<MemoryPart> memory_parts(const MemoryPlan& plan);
// The same for preparation, when caches are missing: the model to train is already loaded while the
// frozen fp32 reference embeds the rows.
std::vector<MemoryPart> preparing_parts(const MemoryPlan& plan);
std::int64_t total_bytes(const std::vector<MemoryPart>& parts);

}  // namespace saferclip
