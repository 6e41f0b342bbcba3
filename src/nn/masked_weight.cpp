// With scores S, threshold θ, off value o and M = 1 where S > θ, else 0:
//   W_eff = M ⊙ W + (1 − M) ⊙ o W,    dS = dW_eff ⊙ W · (1 − o)
// The gradient is straight-through, dM taken for dS, so that a weight that is off can come back.
// W_eff is selected, not multiplied: no dtype rounds it, and an off weight is +0, never −0.
#include "nn/masked_weight.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <vector>

#include "nn/autograd_node.h"

namespace saferclip {
namespace {

using torch::autograd::variable_list;

struct MaskedWeightSaved {
  at::Tensor weight;
  std::vector<MaskSegment> masks;
  double off_value = 0;
};

// Inputs: the scores of each segment.
class MaskedWeight : public AutogradNode<MaskedWeightSaved> {
 public:
  at::Tensor forward(const Linear& layer, const at::Tensor& weight) {
    const at::NoGradGuard guard;
    saved_ = {weight, layer.masks, layer.mask_rule.off_value};
    return masked_weight(layer, weight);
  }

  variable_list apply(variable_list&& gradients) override {
    variable_list result;
    for (std::size_t i = 0; i < saved_.masks.size(); ++i) {
      result.push_back(task_should_compute_output(i) ? score_gradient(saved_.masks[i], gradients[0])
                                                     : at::Tensor());
    }
    return result;
  }

 private:
  at::Tensor score_gradient(const MaskSegment& segment, const at::Tensor& gradient) const {
    const at::Tensor dw = gradient.narrow(0, segment.row, segment.rows);
    const at::Tensor w = saved_.weight.narrow(0, segment.row, segment.rows);
    const at::ScalarType dtype = segment.scores.scalar_type();
    // Widened before the product, which would round in half precision.
    at::Tensor ds = dw.scalar_type() == dtype ? dw.mul(w) : dw.to(dtype).mul_(w);
    return saved_.off_value == 0 ? ds : ds.mul_(1 - saved_.off_value);
  }
};

}  // namespace

at::Tensor masked_weight(const Linear& layer, const at::Tensor& weight) {
  at::Tensor effective = weight.clone();
  const double off_value = layer.mask_rule.off_value;
  for (const MaskSegment& segment : layer.masks) {
    at::Tensor rows = effective.narrow(0, segment.row, segment.rows);
    const at::Tensor is_off = segment.scores.detach().le(layer.mask_rule.threshold);
    if (off_value == 0) {
      rows.masked_fill_(is_off, 0);
    } else {
      rows.copy_(at::where(is_off, rows * off_value, rows));
    }
  }
  return effective;
}

at::Tensor trained_masked_weight(const Linear& layer, const at::Tensor& weight) {
  const auto function = make_autograd_node<MaskedWeight>();
  variable_list inputs;
  for (const MaskSegment& segment : layer.masks) inputs.push_back(segment.scores);
  at::Tensor result = function->forward(layer, weight);
  if (is_recorded(inputs)) record(function, inputs, {result});
  return result;
}

}  // namespace saferclip
