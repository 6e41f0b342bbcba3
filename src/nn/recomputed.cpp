// The forward pass runs the block without recording and keeps its input x alone; the backward pass
// runs it again with recording and calls the engine on that inner graph. The engine enters this
// node only if one of its inputs needs a gradient, and in the first block with trained tensors x
// needs none: therefore a trained leaf is an input as well. Its own gradient, and those of all
// leaves in the block, accumulate through the inner graph.
#include "nn/recomputed.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include "nn/autograd_node.h"

namespace saferclip {
namespace {

using torch::autograd::variable_list;

struct RecomputedSaved {
  at::Tensor x;
};

// Inputs: x, leaf.
class Recomputed : public AutogradNode<RecomputedSaved> {
 public:
  std::function<at::Tensor(const at::Tensor&)> block;

  at::Tensor forward(const at::Tensor& x) {
    const at::NoGradGuard guard;
    saved_ = {x.detach()};
    return block(x);
  }

  variable_list apply(variable_list&& gradients) override {
    throw_if_stopped();
    const at::AutoGradMode guard(true);
    const at::Tensor x = saved_.x.detach().requires_grad_(needs(0, 1)[0]);
    torch::autograd::backward({block(x)}, {gradients[0]});
    return {x.grad(), at::Tensor()};
  }
};

}  // namespace

at::Tensor recomputed(const std::function<at::Tensor(const at::Tensor&)>& block,
                      const at::Tensor& x, const at::Tensor& leaf, const StopFlag* stop) {
  const variable_list inputs{x, leaf};
  if (!is_recorded(inputs)) return block(x);
  const auto function = make_autograd_node<Recomputed>();
  function->stop = stop;
  function->block = block;
  at::Tensor result = function->forward(x);
  record(function, inputs, {result});
  return result;
}

}  // namespace saferclip
