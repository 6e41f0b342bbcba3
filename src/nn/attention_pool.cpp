// The probe is one query shared by the batch, so its projection is computed once and expanded; keys
// and values come from one product with the lower 2D rows of `in`. Plain ATen operators: one query
// of one layer is too little work for a node of its own.
#include "saferclip/nn/attention_pool.h"

#include <ATen/ATen.h>

namespace saferclip {

at::Tensor attention_pool(const AttentionPool& pool, const at::Tensor& x, const ForwardMode& mode) {
  const std::int64_t batch = x.size(0);
  const std::int64_t length = x.size(1);
  const std::int64_t width = x.size(2);
  const std::int64_t head_width = width / pool.heads;
  const at::Tensor weight = in_compute(pool.in.weight, mode);
  const at::Tensor bias = in_compute(pool.in.bias, mode);
  const at::Tensor query = at::linear(in_compute(pool.probe, mode).view({1, width}),
                                      weight.narrow(0, 0, width), bias.narrow(0, 0, width))
                               .view({1, pool.heads, 1, head_width})
                               .expand({batch, -1, -1, -1});
  const std::vector<at::Tensor> keys_values =
      at::linear(x, weight.narrow(0, width, 2 * width), bias.narrow(0, width, 2 * width))
          .view({batch, length, 2, pool.heads, head_width})
          .permute({2, 0, 3, 1, 4})
          .unbind(0);
  const at::Tensor attended =
      at::scaled_dot_product_attention(query, keys_values[0], keys_values[1])
          .reshape({batch, width});
  const at::Tensor y = linear(pool.out, attended, mode);
  return feed_forward(pool.activation, pool.norm, pool.fc1, pool.fc2, y, mode);
}

}  // namespace saferclip
