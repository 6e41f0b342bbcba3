// Dynamic loss scaling for fp16 (arXiv 1710.03740): the loss is multiplied by a scale so that small
// gradients do not vanish in fp16, and the gradients are divided by it before they are used. When
// one of them has overflowed, the update is skipped and the scale halved; after 2,000 updates in a
// row it is doubled. All of it stays on the device, by LibTorch's own kernels.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace saferclip {

class LossScale {
 public:
  explicit LossScale(at::Device device);

  // The loss times the scale.
  at::Tensor apply(const at::Tensor& loss) const;
  // Divides fp32 gradients by the scale, in place, and notes whether one of them is not finite.
  void unscale(const std::vector<at::Tensor>& gradients);
  // Sets the scale of the next step. Call it after the update.
  void update();

  // 0-d fp32: whether the gradients of this step overflowed (1 or 0).
  const at::Tensor& found_inf() const { return found_inf_; }
  // What a checkpoint keeps: the scale (0-d fp32) and the updates since it last changed (0-d
  // int32).
  const at::Tensor& scale() const { return scale_; }
  const at::Tensor& growth() const { return growth_; }

 private:
  at::Tensor scale_;
  at::Tensor growth_;
  at::Tensor found_inf_;
};

}  // namespace saferclip
