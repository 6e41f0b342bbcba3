// Copies of fp32 tensors in the dtype of the matrix products. Without them each pass casts every
// trained tensor by itself, and each gradient is cast back by itself: thousands of small kernels a
// step on a GPU. With them a few list operations a step do it for all tensors.
#pragma once

#include <ATen/core/Tensor.h>

#include <mutex>
#include <unordered_map>
#include <utility>
#include <vector>

namespace saferclip {

class ComputeCopies {
 public:
  // One copy: factor · the leaves, stacked along their first dimension. The leaves are fp32 and are
  // trained.
  struct Source {
    std::vector<at::Tensor> leaves;
    double factor = 1;
  };
  ComputeCopies(const std::vector<Source>& sources, at::ScalarType compute);

  // Writes the leaves' values into the copies. Call it when the leaves have changed: once a step,
  // before its first pass.
  void refresh();

  // Adds factor · the copies' gradients to the leaves' gradients in fp32 and clears the copies'.
  // Call it after each backward pass.
  void collect_gradients();
  // The same for some copies, as soon as their gradients are complete.
  void collect_gradients_of(const std::vector<at::Tensor>& copies);

  // The copies, as the leaves of the graph that they are, each with the leaves it stands for.
  std::vector<std::pair<at::Tensor, std::vector<at::Tensor>>> copies_and_leaves() const;

  // What a pass reads instead of `tensor`: the copy whose first leaf it is, or for a frozen tensor
  // a cast that is made once. Frozen tensors must not change any more.
  at::Tensor read(const at::Tensor& tensor);

 private:
  struct Part {
    at::Tensor leaf;
    at::Tensor copy;  // of the leaf alone: a view without gradient
  };
  struct Copy {
    at::Tensor tensor;  // a leaf of the graph
    std::vector<at::Tensor> leaves;
    double factor = 1;
  };
  void collect(const std::vector<const Copy*>& copies);

  at::ScalarType compute_;
  std::vector<Copy> copies_;
  std::unordered_map<double, std::vector<Part>> by_factor_;
  std::unordered_map<const at::TensorImpl*, at::Tensor> of_leaf_;
  std::unordered_map<const at::TensorImpl*, std::pair<at::Tensor, at::Tensor>>
      frozen_;        // tensor, cast
  std::mutex mutex_;  // of frozen_: the backward pass of a recomputed block runs on another thread
};

}  // namespace saferclip
