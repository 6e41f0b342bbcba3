#include "nn/attention.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <cmath>

#include "nn/autograd_node.h"
#include "nn/row_kernels.h"

namespace saferclip {
namespace {

using torch::autograd::variable_list;

std::int64_t head_width(const at::Tensor& heads) { return heads.size(-1); }

// [B·L, P·D] -> [P, B·H, L, d], contiguous: what batched products want.
at::Tensor split_heads(const at::Tensor& x, const AttentionShape& s, std::int64_t parts) {
  const std::int64_t width = x.size(1) / parts / s.heads;
  return x.view({s.batch, s.length, parts, s.heads, width})
      .permute({2, 0, 3, 1, 4})
      .contiguous()
      .view({parts, s.batch * s.heads, s.length, width});
}

// The other way; the result is contiguous.
at::Tensor join_heads(const at::Tensor& x, const AttentionShape& s) {
  const std::int64_t parts = x.size(0);
  return x.view({parts, s.batch, s.heads, s.length, head_width(x)})
      .permute({1, 3, 0, 2, 4})
      .reshape({s.batch * s.length, parts * s.heads * head_width(x)});
}

at::Tensor weights_of(const at::Tensor& qkv, bool is_causal) {
  at::Tensor weights = at::bmm(qkv[0], qkv[1].transpose(1, 2));
  attention_softmax_(weights, 1 / std::sqrt(static_cast<double>(head_width(qkv))), is_causal);
  return weights;
}

class SelfAttention : public AutogradNode {
 public:
  AttentionShape shape;

  at::Tensor forward(const at::Tensor& packed) {
    const at::NoGradGuard guard;
    const at::Tensor qkv = split_heads(packed, shape, 3);
    const at::Tensor weights = weights_of(qkv, shape.is_causal);
    saved_ = {qkv, shape.keeps_weights ? weights : at::Tensor()};
    return join_heads(at::bmm(weights, qkv[2]).unsqueeze(0), shape);
  }

  variable_list apply(variable_list&& gradients) override {
    const at::Tensor& qkv = saved_[0];
    const at::Tensor weights = saved_[1].defined() ? saved_[1] : weights_of(qkv, shape.is_causal);
    const at::Tensor dy = split_heads(gradients[0].contiguous(), shape, 1)[0];
    const at::Tensor dqkv = at::empty_like(qkv);
    const auto product_into = [&](std::int64_t part, const at::Tensor& a, const at::Tensor& b) {
      at::Tensor out = dqkv[part];
      at::bmm_out(out, a, b);
    };
    product_into(2, weights.transpose(1, 2), dy);
    at::Tensor dscores = at::bmm(dy, qkv[2].transpose(1, 2));
    attention_softmax_backward_(dscores, weights,
                                1 / std::sqrt(static_cast<double>(head_width(qkv))));
    product_into(0, dscores, qkv[1]);
    product_into(1, dscores.transpose(1, 2), qkv[0]);
    return {join_heads(dqkv, shape)};
  }
};

}  // namespace

at::Tensor self_attention(const at::Tensor& qkv, const AttentionShape& shape) {
  if (has_row_kernels(qkv)) {
    const auto function = make_autograd_node<SelfAttention>();
    function->shape = shape;
    at::Tensor result = function->forward(qkv);
    if (is_recorded({qkv})) record(function, {qkv}, result);
    return result;
  }
  const std::vector<at::Tensor> parts =
      qkv.view({shape.batch, shape.length, 3, shape.heads, qkv.size(1) / 3 / shape.heads})
          .permute({2, 0, 3, 1, 4})
          .unbind(0);
  return at::scaled_dot_product_attention(parts[0], parts[1], parts[2], {}, 0.0, shape.is_causal)
      .transpose(1, 2)
      .reshape({shape.batch * shape.length, qkv.size(1) / 3});
}

}  // namespace saferclip
