// What a training run on the CPU will need at its peak, worked out from shapes: what the backward
// passes of nn/ keep, what the optimizer and the saves hold. Bytes throughout.
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
  std::int64_t tokens = 0;  // a caption, as long as the longest
  bool is_bf16 = false;
  bool trains_all = false;              // else adapters on frozen weights
  std::int64_t trained_parameters = 0;  // fp32 numbers
  std::int64_t rank = 0;                // of the adapters
  double dropout = 0;
  Recompute recompute = Recompute::kNothing;
  bool copies_state = true;      // saves are written beside the steps, from a copy
  bool validates = false;        // a tuned fp32 model besides, and the rows it embeds
  bool keeps_reference = false;  // the frozen fp32 model stays, to embed cropped pictures
  // What the run reads of the caches' files, which counts while it is in memory.
  std::int64_t mapped = 0;
  std::int64_t caches = 0;       // all that preparing reads or writes of them
  std::int64_t batch_bytes = 0;  // of the batches that are gathered ahead
};

struct MemoryPart {
  std::string name;
  std::int64_t bytes = 0;
};

// The rows that evaluation and preparing embed at a time.
inline constexpr std::int64_t kEmbeddedRows = 64;

// Parts whose sum is the peak of the training itself: program, weights, gradients, moments, copy,
// activations, workspace, data.
std::vector<MemoryPart> memory_parts(const MemoryPlan& plan);
// The same of the preparing before it, where caches are missing: the model to train is there
// already, and the frozen fp32 reference embeds the rows.
std::vector<MemoryPart> preparing_parts(const MemoryPlan& plan);
std::int64_t total_bytes(const std::vector<MemoryPart>& parts);

}  // namespace saferclip
