// Autograd functions with hand-written backward passes, below torch::autograd::Function: inputs may
// be undefined and what is kept are plain members.
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/csrc/autograd/function.h>

#include <memory>
#include <type_traits>
#include <vector>

#include "saferclip/core/stop.h"

namespace saferclip {

class AutogradNode : public torch::autograd::Node {
 public:
  // Frees what the backward pass kept; the engine calls it as soon as that pass is done.
  void release_variables() override { saved_.clear(); }

  const StopFlag* stop = nullptr;  // asked before each pass, which may throw Interrupted

 protected:
  void require_going_on() const {
    throw_if_asked(stop, "interrupted; what is finished is kept, run the same command to go on");
  }

  // Whether the gradients of inputs [begin, begin + count) are asked for.
  std::vector<bool> needs(std::size_t begin, std::size_t count) const {
    std::vector<bool> flags;
    for (std::size_t i = 0; i < count; ++i) flags.push_back(task_should_compute_output(begin + i));
    return flags;
  }

  torch::autograd::variable_list saved_;
};

// How graphs hold their nodes: shared_ptr before LibTorch 2.13, intrusive_ptr since.
using NodePointer = decltype(torch::autograd::Edge::function);

template <class Function>
auto make_autograd_node() {
  if constexpr (std::is_same_v<NodePointer, std::shared_ptr<torch::autograd::Node>>) {
    return std::make_shared<Function>();
  } else {
    return c10::make_intrusive<Function>();
  }
}

// Whether a result of these inputs has to be recorded.
bool is_recorded(const torch::autograd::variable_list& inputs);

// Makes `result`, computed without recording, the output of `function` of `inputs`.
void record(const NodePointer& function, const torch::autograd::variable_list& inputs,
            const at::Tensor& result);

}  // namespace saferclip
