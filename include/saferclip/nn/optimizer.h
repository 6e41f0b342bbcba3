// Adam and AdamW over a flat list of fp32 leaves, by LibTorch's fused kernels.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "saferclip/nn/loss_scale.h"
#include "saferclip/nn/optimizer_options.h"

namespace saferclip {

// A trained leaf. Files store it as `parts`: the q, k and v rows of a fused projection under three
// names, any other leaf whole, in `file_shape`.
struct TrainedParameter {
  struct Part {
    std::string name;
    std::int64_t row = 0;
    std::int64_t rows = 0;
  };
  at::Tensor tensor;
  std::vector<Part> parts;
  std::vector<std::int64_t> file_shape;  // if there is one part
  bool decays = false;                   // whether weight decay applies
};

// The view of `whole` (the leaf or a tensor of its shape) that is stored under the part's name.
at::Tensor part_view(const TrainedParameter& parameter, const TrainedParameter::Part& part,
                     const at::Tensor& whole);

class Optimizer {
 public:
  // Losses of a pass in fp16 need a scale.
  enum class Scaling { kNone, kDynamic };
  // `held`: whether each parameter is updated here; empty: all are. The others have no moments:
  // another process updates them.
  Optimizer(OptimizerOptions options, const std::vector<TrainedParameter>& parameters,
            Scaling scaling = Scaling::kNone, std::vector<bool> held = {});

  // The loss to back-propagate: times the scale, if there is one.
  at::Tensor scaled(const at::Tensor& loss) const;

  // One update with the leaves' gradients; a leaf without a gradient does not change. With a scale,
  // nothing changes but the scale if a gradient overflowed.
  void step(double lr);
  void zero_grad();

  // Call it when all passes are done. Divides the gradients by the scale, if there is one, and
  // returns their global L2 norm, a 0-d tensor on the device. With `max_norm`, scales larger
  // gradients down to it, and to zero when the norm is not finite. Never waits for the device.
  at::Tensor clip_gradients(std::optional<double> max_norm);

  // Null without a scale.
  const LossScale* loss_scale() const { return scale_ ? &*scale_ : nullptr; }

  // exp_avg and exp_avg_sq of parameter i, undefined if it is not held, and its step count (0-d
  // fp32).
  const at::Tensor& exp_avg(std::size_t i) const { return exp_avg_[i]; }
  const at::Tensor& exp_avg_sq(std::size_t i) const { return exp_avg_sq_[i]; }
  const at::Tensor& step_count(std::size_t i) const { return steps_[i]; }

 private:
  void update(const std::vector<std::size_t>& leaves, double weight_decay, double lr);

  OptimizerOptions options_;
  std::optional<LossScale> scale_;
  std::vector<at::Tensor> leaves_;
  std::vector<bool> held_;
  std::vector<std::size_t> decayed_;  // leaves with weight decay
  std::vector<std::size_t> plain_;    // the others
  std::vector<at::Tensor> exp_avg_;
  std::vector<at::Tensor> exp_avg_sq_;
  std::vector<at::Tensor> steps_;
};

}  // namespace saferclip
