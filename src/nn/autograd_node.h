// Autograd functions with hand-written backward passes, one level below
// torch::autograd::Function: inputs may be undefined, and each node keeps what its backward pass
// reads in a plain struct of its own.
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/csrc/autograd/function.h>

#include <memory>
#include <type_traits>
#include <vector>

#include "saferclip/core/stop.h"

namespace saferclip {

// `Saved`: a struct of what forward() keeps for apply().
template <class Saved>
class AutogradNode : public torch::autograd::Node {
 public:
  // Frees `saved_`; the engine calls this as soon as the node's backward pass is done.
  void release_variables() override { saved_ = Saved{}; }

  const StopFlag* stop = nullptr;  // checked before each pass

 protected:
  // Throws Interrupted once `stop` is set.
  void throw_if_stopped() const {
    saferclip::throw_if_stopped(
        stop, "interrupted; finished work is kept, run the same command to continue");
  }

  // For each of the inputs [begin, begin + count): does autograd need its gradient?
  std::vector<bool> needs(std::size_t begin, std::size_t count) const {
    std::vector<bool> flags;
    for (std::size_t i = 0; i < count; ++i) flags.push_back(task_should_compute_output(begin + i));
    return flags;
  }

  Saved saved_;
};

// How a graph holds its nodes: shared_ptr before LibTorch 2.13, intrusive_ptr since.
using NodePointer = decltype(torch::autograd::Edge::function);

template <class Function>
auto make_autograd_node() {
  if constexpr (std::is_same_v<NodePointer, std::shared_ptr<torch::autograd::Node>>) {
    return std::make_shared<Function>();
  } else {
    return c10::make_intrusive<Function>();
  }
}

// Whether a result of these inputs belongs in the graph.
bool is_recorded(const torch::autograd::variable_list& inputs);

// Enters `function` into the graph: `inputs` in, `results` (computed without recording) out, in the
// order of the gradients that the node gets.
void record(const NodePointer& function, const torch::autograd::variable_list& inputs,
            const torch::autograd::variable_list& results);

}  // namespace saferclip
