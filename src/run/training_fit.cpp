// Trained parameters are counted on a model without storage (LibTorch's meta device), so that the
// count is that of the training itself.
#include "saferclip/run/training_fit.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "saferclip/core/memory.h"
#include "saferclip/model/trained.h"
#include "saferclip/nn/cuda_card.h"

namespace saferclip {
namespace {

// The length of usual captions in tokens; SigLIP pads all of them to the context.
constexpr std::int64_t kUsualTokens = 40;

std::int64_t trained_count(const FitRequest& request) {
  ClipModel model = allocate_clip(request.geometry, at::kFloat, at::kMeta);
  std::int64_t count = 0;
  for (const TrainedParameter& parameter : make_trainable(model, {}, request.adapter, 0)) {
    count += parameter.tensor.numel();
  }
  return count;
}

}  // namespace

MemoryPlan usual_plan(const FitRequest& request, at::Device device) {
  const std::int64_t kinds = request.has_unsafe ? 2 : 1;
  const bool is_padded = form_of(request.geometry.family).pools_last_token;
  MemoryPlan plan;
  plan.geometry = request.geometry;
  plan.pictures = plan.captions = kinds * request.rows;
  plan.tokens = is_padded ? request.geometry.context_length
                          : std::min(kUsualTokens, request.geometry.context_length);
  plan.is_half = request.precision != Precision::kFp32;
  plan.is_on_device = device.is_cuda();
  plan.trains_all = request.adapter.method == AdapterMethod::kFull;
  plan.trained_parameters = plan.held_parameters = trained_count(request);
  plan.rank = request.adapter.rank;
  plan.dropout = plan.trains_all ? 0 : request.adapter.dropout;
  const std::int64_t side = plan.geometry.image_size;
  plan.batch_bytes = (plan.is_on_device ? 1 : 4) * 3 * side * side * plan.pictures;
  return plan;
}

std::uint64_t usual_bytes(const FitRequest& request, at::Device device) {
  const MemoryPlan plan = usual_plan(request, device);
  return static_cast<std::uint64_t>(
      std::max(total_bytes(memory_parts(plan)), total_bytes(preparing_parts(plan))));
}

std::uint64_t available_bytes(at::Device device) {
  if (const auto memory = device_memory(device)) return memory->free + memory->used;
  return device.is_cpu() ? available_memory_bytes() : 0;
}

}  // namespace saferclip
