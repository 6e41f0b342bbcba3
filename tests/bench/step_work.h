// The floating-point operations of a training step, from the geometry alone.
//
// Counted, a multiplication and an addition as two: the products of the blocks, the patch embedding
// and the projections; the adapters; attention's scores and sums over all pairs of tokens, causal
// or not. Backward: LoRA counts the gradients of the inputs and of the adapters, `full` those of
// inputs and weights; attention counts two products forward and four backward. The last block of a
// tower with a picked token runs its output projection and MLP on that token alone, and is counted
// so. Not counted: what a fused attention or `train.recompute` computes a second time, norms,
// activations, SigLIP's attention pool, the losses, the optimizer.
#pragma once

#include <cstdint>
#include <vector>

#include "saferclip/model/geometry.h"
#include "saferclip/model/model_options.h"

namespace saferclip {

enum class ProductKind { kForward, kInputGradient, kWeightGradient };

// Of a layer with a weight [outputs, inputs] and `rows` tokens: Y = X·Wᵀ, dX = dY·W or dW = dYᵀ·X.
struct LayerProduct {
  ProductKind kind = ProductKind::kForward;
  std::int64_t rows = 0;
  std::int64_t inputs = 0;
  std::int64_t outputs = 0;
  std::int64_t count = 0;  // in a step

  double flops() const {
    return 2.0 * static_cast<double>(rows) * static_cast<double>(inputs) *
           static_cast<double>(outputs) * static_cast<double>(count);
  }
};

struct StepWork {
  std::vector<LayerProduct> products;  // of the base model's weights
  double adapters = 0;                 // FLOPs
  double attention = 0;                // FLOPs

  double product_flops() const;
  double flops() const { return product_flops() + adapters + attention; }
};

// A step on so many pictures and captions of `text_length` tokens.
StepWork step_work(const ClipGeometry& geometry, const AdapterOptions& adapter,
                   std::int64_t pictures, std::int64_t captions, std::int64_t text_length);

}  // namespace saferclip
