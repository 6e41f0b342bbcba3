// Forward and backward of a linear layer with adapters, without autograd: the building blocks of
// this room's autograd functions. Legend: N rows, I inputs, O outputs, R sum of the adapters'
// ranks.
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/csrc/autograd/variable.h>

#include <cstdint>
#include <vector>

#include "saferclip/nn/linear.h"

namespace saferclip {

// A layer as one pass reads it.
struct LinearPass {
  // Of output rows [row, row + rows).
  struct Adapter {
    at::Tensor a;  // [r, I], fp32 leaf
    at::Tensor b;  // [rows, r], fp32 leaf; with copies scaling · B in mode.compute
    std::int64_t row = 0;
    std::int64_t rows = 0;
  };

  at::Tensor weight;  // [O, I] in mode.compute
  at::Tensor bias;    // [O] in mode.compute, or undefined
  std::vector<Adapter> adapters;
  double scaling = 0;             // of all adapters: alpha / r
  double dropout = 0;             // probability in this pass; 0 outside training
  std::uint64_t dropout_key = 0;  // of this layer in this step
  at::Tensor a_copy;              // A of all adapters [R, I] in mode.compute, if there are copies
  at::Tensor packed;              // of a frozen layer, see pack_frozen
  at::Tensor packed_transpose;

  // How many tensors autograd sees: weight, bias, then a and b of each adapter; with copies a_copy
  // and the b of each adapter.
  std::size_t input_count() const {
    return 2 + (a_copy.defined() ? 1 + adapters.size() : 2 * adapters.size());
  }
};

// Throws Error when the layer both trains its weight and carries adapters. Call it while autograd
// records: the casts to mode.compute are part of the graph.
LinearPass linear_pass(const Linear& layer, const ForwardMode& mode);

void append_inputs(const LinearPass& layer, torch::autograd::variable_list& inputs);

struct LinearForward {
  at::Tensor y;   // [N, O]
  at::Tensor xa;  // [N, R], dropout(x)·Aᵀ of all adapters; undefined without adapters
};
// x [N, I]; adds `addend` [N, O] to the result unless it is undefined.
LinearForward linear_forward(const LinearPass& layer, const at::Tensor& x,
                             const at::Tensor& addend = {});

struct LinearBackward {
  at::Tensor dx;   // [N, I], undefined unless needed
  at::Tensor dyb;  // [N, R], scaling · dY·B of all adapters; undefined without adapters
};
// First half: what earlier layers need. dy [N, O] is contiguous.
LinearBackward linear_input_gradient(const LinearPass& layer, const at::Tensor& dy, bool needs_dx);

// What the second half reads: x [N, I] (not read when no gradient is needed), xa of the forward
// pass, dy [N, O] and dyb of the first half.
struct LinearOperands {
  at::Tensor x;
  at::Tensor xa;
  at::Tensor dy;
  at::Tensor dyb;
};
// Second half: appends the gradients of the layer's inputs, in their order. `needs` has a flag for
// each; the weight's and the bias's stay undefined where it is false.
void append_weight_gradients(const LinearPass& layer, const LinearOperands& operands,
                             const std::vector<bool>& needs,
                             torch::autograd::variable_list& gradients);

}  // namespace saferclip
