// A linear layer is the NormLinear node without norm and addend; the formulas are in
// linear_pass.cpp. A packed weight keeps a meta tensor as its W: the shape can still be asked for,
// and any read of the values throws instead of returning stale ones.
#include "saferclip/nn/linear.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "nn/masked_weight.h"
#include "nn/sublayers.h"
#include "saferclip/core/matmul.h"

namespace saferclip {

at::Tensor in_compute(const at::Tensor& tensor, const ForwardMode& mode) {
  return mode.copies != nullptr ? mode.copies->read(tensor) : tensor.to(mode.compute);
}

at::Tensor linear(const Linear& layer, const at::Tensor& x, const ForwardMode& mode) {
  const at::Tensor flat = x.reshape({-1, x.size(-1)});
  std::vector<std::int64_t> sizes = x.sizes().vec();
  sizes.back() = layer.weight.size(0);
  return norm_linear({}, layer, flat, {}, mode).view(sizes);
}

void pack_frozen(Linear& layer, std::int64_t rows, at::ScalarType compute) {
  if (layer.weight.requires_grad() || !layer.masks.empty() ||
      layer.weight.scalar_type() != compute) {
    return;
  }
  layer.packed = packed_weight(layer.weight, rows);
  if (!layer.packed.defined()) return;
  layer.packed_transpose = packed_weight(layer.weight.t(), rows);
  layer.weight = at::empty(layer.weight.sizes(), layer.weight.options().device(at::kMeta));
}

at::Tensor merged_weight(const Linear& layer) {
  const at::NoGradGuard guard;
  at::Tensor merged = layer.weight.to(at::kFloat, false, true);
  for (const LoraSegment& s : layer.lora) {
    merged.narrow(0, s.row, s.rows).addmm_(s.b, s.a, 1, layer.lora_scaling);
  }
  return merged;
}

at::Tensor masked_weight(const Linear& layer) {
  const at::NoGradGuard guard;
  return masked_weight(layer, layer.weight);
}

}  // namespace saferclip
