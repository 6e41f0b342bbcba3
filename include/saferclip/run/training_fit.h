// Whether a training fits into memory, predicted from the model's geometry before any data is
// prepared. Sizes are in bytes.
#pragma once

#include <cstdint>

#include "saferclip/run/session.h"
#include "saferclip/train/memory_plan.h"

namespace saferclip {

struct FitRequest {
  ClipGeometry geometry;
  AdapterOptions adapter;
  std::int64_t rows = 48;  // of one forward and backward pass
  bool has_unsafe = true;
  Precision precision = Precision::kFp32;
};

// The plan of such a training with captions of usual length, without validation and caches.
MemoryPlan usual_plan(const FitRequest& request, at::Device device);

// Its peak, preparation included.
std::uint64_t usual_bytes(const FitRequest& request, at::Device device);

// What a training on the device may use; 0 if unknown.
std::uint64_t available_bytes(at::Device device);

}  // namespace saferclip
