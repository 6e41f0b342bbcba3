#include "nn/recomputed.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include "nn/autograd_node.h"

namespace saferclip {
namespace {

using torch::autograd::variable_list;

// Inputs: x and a leaf, which makes the engine come here where x itself has no gradient.
class Recomputed : public AutogradNode {
 public:
  std::function<at::Tensor(const at::Tensor&)> part;

  at::Tensor forward(const at::Tensor& x) {
    const at::NoGradGuard guard;
    saved_ = {x.detach()};
    return part(x);
  }

  variable_list apply(variable_list&& gradients) override {
    require_going_on();
    const at::AutoGradMode guard(true);
    const at::Tensor x = saved_[0].detach().requires_grad_(needs(0, 1)[0]);
    torch::autograd::backward({part(x)}, {gradients[0]});
    return {x.grad(), at::Tensor()};
  }
};

}  // namespace

at::Tensor recomputed(const std::function<at::Tensor(const at::Tensor&)>& part, const at::Tensor& x,
                      const at::Tensor& leaf, const StopFlag* stop) {
  const variable_list inputs{x, leaf};
  if (!is_recorded(inputs)) return part(x);
  const auto function = make_autograd_node<Recomputed>();
  function->stop = stop;
  function->part = part;
  at::Tensor result = function->forward(x);
  record(function, inputs, result);
  return result;
}

}  // namespace saferclip
