// Forward and backward of a linear layer with adapters, without autograd: the parts that the
// autograd functions of this room are put together from. Legend: N rows, I inputs, O outputs, R the
// ranks of all segments added up.
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/csrc/autograd/variable.h>

#include <cstdint>
#include <vector>

#include "saferclip/nn/linear.h"

namespace saferclip {

// What a pass needs besides tensors.
struct LinearPlan {
  double scaling = 0;
  double dropout = 0;
  std::uint64_t dropout_key = 0;
  std::vector<std::int64_t> rows;  // row, rows of each segment, flattened
  at::Tensor packed;               // of a frozen layer, see pack_frozen
  at::Tensor packed_transpose;

  std::size_t segments() const { return rows.size() / 2; }
  std::size_t tensors() const { return 2 + 2 * segments(); }
};
LinearPlan linear_plan(const Linear& layer, const ForwardMode& mode);

// The tensors of a layer as an autograd function takes them, appended: W and b in mode.compute (b
// perhaps undefined), then A and B of each segment, fp32 leaves.
void append_tensors(const Linear& layer, const ForwardMode& mode,
                    torch::autograd::variable_list& tensors);

// A view of those tensors inside a longer list.
using LinearTensors = at::ArrayRef<at::Tensor>;

struct LinearForward {
  at::Tensor y;   // [N, O]
  at::Tensor xa;  // [N, R], dropout(x)·Aᵀ of all segments; undefined without adapters
};
// x [N, I]; `addend` [N, O] or undefined is added to the result.
LinearForward linear_forward(const LinearPlan& plan, LinearTensors tensors, const at::Tensor& x,
                             const at::Tensor& addend = {});

struct LinearBackward {
  at::Tensor dx;   // [N, I], undefined where not asked for
  at::Tensor dyb;  // [N, R], scaling · dy·B of all segments
};
// The first half: what goes on to earlier layers. dy [N, O] is contiguous.
LinearBackward linear_input_gradient(const LinearPlan& plan, LinearTensors tensors,
                                     const at::Tensor& dy, bool needs_dx);
// The second half: gradients of the layer's tensors in their order, appended; undefined where
// `needs` (one flag a tensor) says so. `x` is not looked at when nothing is needed.
void append_weight_gradients(const LinearPlan& plan, LinearTensors tensors, const at::Tensor& x,
                             const at::Tensor& xa, const at::Tensor& dy, const at::Tensor& dyb,
                             const std::vector<bool>& needs,
                             torch::autograd::variable_list& gradients);

}  // namespace saferclip
