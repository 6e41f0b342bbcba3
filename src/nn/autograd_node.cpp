// LibTorch's own two steps of recording an operator: edges to the producers of the inputs (none for
// an undefined input), and the node as the results' gradient function. The results were computed
// without recording, so they have no other history.
#include "nn/autograd_node.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/variable.h>

namespace saferclip {

bool is_recorded(const torch::autograd::variable_list& inputs) {
  return at::GradMode::is_enabled() && torch::autograd::any_variable_requires_grad(inputs);
}

void record(const NodePointer& function, const torch::autograd::variable_list& inputs,
            const torch::autograd::variable_list& results) {
  function->set_next_edges(torch::autograd::collect_next_edges(inputs));
  for (const at::Tensor& result : results) {
    torch::autograd::impl::set_gradient_edge(result,
                                             {function, function->add_input_metadata(result)});
  }
}

}  // namespace saferclip
