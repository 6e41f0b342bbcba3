// The gradients of all processes, added up while the backward pass goes on.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "saferclip/data/batch.h"
#include "saferclip/distributed/processes.h"
#include "saferclip/nn/compute_copies.h"
#include "saferclip/nn/optimizer.h"

namespace saferclip {

class GradientSum {
 public:
  struct Leaves {
    const std::vector<TrainedParameter>& parameters;
    // The leaves, or undefined tensors, that enter the losses themselves (logit scale, bias). Every
    // process computes the losses of all rows, so each has their gradient whole: it is counted
    // once.
    std::vector<at::Tensor> direct;
    // Of its gradient only the rows of Batch::used_ids are sent; undefined or no leaf: none.
    at::Tensor token_embedding;
    ComputeCopies* copies = nullptr;              // must outlive this
    std::int64_t bucket = std::int64_t{8} << 20;  // numbers that travel together
  };
  GradientSum(const Processes& processes, const Leaves& leaves);
  ~GradientSum();

  // Call it before the last backward pass of `batch`, which must stay until finish(): gradients
  // start to travel as soon as that pass has completed them.
  void begin(const Batch& batch);

  // Call it after the passes. Replaces each leaf's gradient with the sum over the processes, the
  // same bits in all of them. Returns fp32 [size], on the leaves' device: the `code` of every
  // process.
  at::Tensor finish(int code);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace saferclip
