// Counts the peak from shapes: what the nodes of nn/sublayers.cpp and nn/attention.cpp keep for
// their backward passes, the largest workspace, weights, gradients, moments and data. A change to
// what a node keeps must be repeated here. Two constants are measured, not counted: the libraries'
// own memory (kProgram) and the fragmentation of the heap (kHeapShare). On a CUDA device attention
// is fused and keeps no weights, frozen weights are not packed, and saves are copied to the host.
#include "saferclip/train/memory_plan.h"

#include <algorithm>
#include <numeric>

#include "saferclip/model/tensor_slots.h"

namespace saferclip {
namespace {

// LibTorch, oneDNN and other libraries with their own allocations, measured.
constexpr std::int64_t kProgram = std::int64_t{290} << 20;
// CUDA's context, its kernels and cuBLAS' workspaces: assumed, not measured.
constexpr std::int64_t kCuda = std::int64_t{600} << 20;
constexpr std::int64_t kFloat = 4;
// Heap fragmentation around what the backward pass keeps: measured at 0 to 40 % of it (small
// towers, ViT-L/14). An eighth keeps every prediction within a fifth.
constexpr std::int64_t kHeapShare = 8;
// At most: adapters on q, k, v, the output projection, fc1 and fc2.
constexpr std::int64_t kAdapters = 6;

// One tower's share of a pass: `sequences` of `length` tokens.
struct Pass {
  const TowerGeometry& tower;
  std::int64_t sequences;
  std::int64_t length;
  std::int64_t tokens() const { return sequences * length; }
};

std::int64_t block_weights(const TowerGeometry& t) {
  return t.layers * (4 * t.width * t.width + 2 * t.width * t.mlp_width);
}

// A block keeps its attention weights where they are no larger than q.
std::int64_t attention_numbers(const MemoryPlan& plan, const Pass& pass) {
  if (plan.is_on_device) return 0;
  const std::int64_t head_width = pass.tower.width / pass.tower.heads;
  const bool is_kept = plan.recompute != Recompute::kAttention && pass.length <= head_width;
  return is_kept ? pass.tokens() * pass.tower.heads * pass.length : 0;
}

// What one block keeps: its input, q, k and v, the attention output, the MLP's input and hidden
// layer, and the adapters' X·Aᵀ.
std::int64_t block_numbers(const MemoryPlan& plan, const Pass& pass) {
  const std::int64_t of_adapters = plan.trains_all ? 0 : kAdapters * plan.rank;
  // The results of trained norms are kept on a device.
  const std::int64_t of_norms = plan.trains_all && plan.is_on_device ? 2 * pass.tower.width : 0;
  return pass.tokens() * (6 * pass.tower.width + pass.tower.mlp_width + of_adapters + of_norms) +
         attention_numbers(plan, pass);
}

// All blocks; after its attention the last one continues with one row per sequence.
std::int64_t tower_numbers(const MemoryPlan& plan, const Pass& pass) {
  const std::int64_t inputs = pass.tokens() * pass.tower.width;
  const std::int64_t last = 4 * inputs + attention_numbers(plan, pass);
  if (plan.recompute == Recompute::kBlocks) return pass.tower.layers * inputs + last;
  return (pass.tower.layers - 1) * block_numbers(plan, pass) + last;
}

// On top of what is kept, during the backward pass of a block's MLP (or while a block is
// recomputed).
std::int64_t workspace_numbers(const MemoryPlan& plan, const Pass& pass) {
  const std::int64_t masks = plan.dropout > 0 ? 2 : 0;
  const std::int64_t mlp =
      pass.tokens() * (3 * pass.tower.width + (2 + masks) * pass.tower.mlp_width);
  return plan.recompute == Recompute::kBlocks ? mlp + block_numbers(plan, pass) : mlp;
}

// A forward pass without gradients over a block of rows: the residual, its norm and the hidden
// layer before and after the activation; or attention with its scores. The fp32 pixels exist twice.
std::int64_t embedding_bytes(const MemoryPlan& plan) {
  const ClipGeometry& g = plan.geometry;
  const auto block = [&plan](const Pass& pass) {
    const std::int64_t mlp = pass.tokens() * 2 * (pass.tower.width + pass.tower.mlp_width);
    const std::int64_t scores = plan.is_on_device ? 0 : pass.tower.heads * pass.length;
    const std::int64_t attention = pass.tokens() * (6 * pass.tower.width + scores);
    return kFloat * std::max(mlp, attention);
  };
  const std::int64_t pixels = kEmbeddedRows * 3 * g.image_size * g.image_size;
  return std::max(block({g.vision, kEmbeddedRows, g.positions()}) + 2 * kFloat * pixels,
                  block({g.text, kEmbeddedRows, plan.tokens}));
}

std::int64_t weight_bytes(const MemoryPlan& plan) {
  const std::int64_t all = parameter_count(plan.geometry);
  const std::int64_t blocks =
      block_weights(plan.geometry.vision) + block_weights(plan.geometry.text);
  const std::int64_t computed = plan.is_half ? 2 : kFloat;
  // fp32 master weights and, in bf16, the copies that the products read.
  if (plan.trains_all) return all * kFloat + (plan.is_half ? blocks * computed : 0);
  // Tensors outside the products stay fp32. Frozen weights are packed for both passes on a CPU; on
  // a device the adapters have copies for the products.
  const std::int64_t frozen = (plan.is_on_device ? 1 : 2) * blocks * computed;
  const std::int64_t trained = kFloat + (plan.is_on_device ? computed : 0);
  return frozen + (all - blocks) * kFloat + plan.trained_parameters * trained;
}

}  // namespace

std::vector<MemoryPart> memory_parts(const MemoryPlan& plan) {
  const ClipGeometry& g = plan.geometry;
  const std::int64_t computed = plan.is_half ? 2 : kFloat;
  const Pass vision{g.vision, plan.pictures, g.positions()};
  const Pass text{g.text, plan.captions, plan.tokens};
  const std::int64_t cut = g.grid() * g.patch_size;
  const std::int64_t pixels = plan.pictures * cut * cut * 3;
  // Patches, and the embedded tokens before and after the first norm.
  const std::int64_t inputs = pixels + 2 * vision.tokens() * g.vision.width;
  const std::int64_t kept =
      (inputs + tower_numbers(plan, vision) + tower_numbers(plan, text)) * computed;
  const std::int64_t activations = kept + (plan.is_on_device ? 0 : kept / kHeapShare);
  const std::int64_t backward =
      std::max(workspace_numbers(plan, vision), workspace_numbers(plan, text)) * computed;
  // While patches are cut, the fp32 pixels exist twice and little else exists yet.
  const std::int64_t decoded = pixels * (2 * kFloat + computed);
  const std::int64_t passes = std::max(activations + backward, decoded);
  // A validation reuses the memory of a pass.
  const std::int64_t reference = parameter_count(g) * kFloat;
  const std::int64_t model = plan.validates ? reference + embedding_bytes(plan) : 0;
  const std::int64_t trained = plan.trained_parameters * kFloat;
  const bool copies_state = plan.copies_state && !plan.is_on_device;
  return {plan.is_on_device ? MemoryPart{"CUDA itself", kCuda} : MemoryPart{"program", kProgram},
          {"weights", weight_bytes(plan)},
          {"reference", plan.keeps_reference ? reference : 0},
          {"gradients", trained * plan.gradient_sets},
          {"moments", 2 * kFloat * plan.held_parameters},
          {"copy for saves", copies_state ? 3 * trained : 0},
          {"activations", activations},
          {"workspace", std::max(passes, model) - activations},
          {"data", plan.is_on_device ? plan.batch_bytes : plan.mapped + plan.batch_bytes}};
}

std::vector<MemoryPart> preparing_parts(const MemoryPlan& plan) {
  const std::int64_t all = parameter_count(plan.geometry);
  const std::int64_t weights = plan.is_half && !plan.trains_all ? 2 : kFloat;
  return {plan.is_on_device ? MemoryPart{"CUDA itself", kCuda} : MemoryPart{"program", kProgram},
          {"weights", all * weights},
          {"reference", all * kFloat},
          {"workspace", embedding_bytes(plan)},
          {"data", plan.is_on_device ? 0 : plan.caches}};
}

std::int64_t total_bytes(const std::vector<MemoryPart>& parts) {
  return std::accumulate(parts.begin(), parts.end(), std::int64_t{0},
                         [](std::int64_t sum, const MemoryPart& part) { return sum + part.bytes; });
}

}  // namespace saferclip
