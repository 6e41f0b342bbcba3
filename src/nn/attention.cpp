// P = softmax(S), S = Q Kᵀ / √d (masked when causal), Y = P V, head by head. Backward:
//   dV = Pᵀ dY,  dP = dY Vᵀ,  dS = P ∘ (dP - rowsum(dP ∘ P)),  dQ = dS K / √d,  dK = dSᵀ Q / √d
// On a CPU batched products and one pass for each softmax, because the backward pass of LibTorch's
// fused attention makes small products one by one there. The softmax passes take 1/√d along, so
// `scores` is Q Kᵀ and its gradient dS / √d. A GPU uses the fused operator and its own autograd.
#include "nn/attention.h"

#include <ATen/ATen.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/core/grad_mode.h>

#include <cmath>

#include "nn/autograd_node.h"
#include "nn/row_kernels.h"

namespace saferclip {
namespace {

using torch::autograd::variable_list;

std::int64_t head_width(const at::Tensor& heads) { return heads.size(-1); }

double score_scale(const at::Tensor& heads) {
  return 1 / std::sqrt(static_cast<double>(head_width(heads)));
}

// The planes of a split projection [3, B·H, L, d].
enum Plane : std::int64_t { kQuery, kKey, kValue };

// [B·L, P·D] -> [P, B·H, L, d], contiguous, for batched products; P planes.
at::Tensor split_heads(const at::Tensor& x, const AttentionShape& s, std::int64_t planes) {
  const std::int64_t width = x.size(1) / planes / s.heads;
  return x.view({s.batch, s.length, planes, s.heads, width})
      .permute({2, 0, 3, 1, 4})
      .contiguous()
      .view({planes, s.batch * s.heads, s.length, width});
}

// The inverse of split_heads; contiguous.
at::Tensor join_heads(const at::Tensor& x, const AttentionShape& s) {
  const std::int64_t planes = x.size(0);
  return x.view({planes, s.batch, s.heads, s.length, head_width(x)})
      .permute({1, 3, 0, 2, 4})
      .reshape({s.batch * s.length, planes * s.heads * head_width(x)});
}

// P [B·H, L, L].
at::Tensor attention_weights(const at::Tensor& qkv, bool is_causal) {
  at::Tensor weights = at::bmm(qkv[kQuery], qkv[kKey].transpose(1, 2));
  attention_softmax_(weights, score_scale(qkv), is_causal);
  return weights;
}

struct SelfAttentionSaved {
  at::Tensor qkv;      // [3, B·H, L, d]
  at::Tensor weights;  // P, undefined when the backward pass recomputes it
};

class SelfAttention : public AutogradNode<SelfAttentionSaved> {
 public:
  AttentionShape shape;

  at::Tensor forward(const at::Tensor& packed) {
    const at::NoGradGuard guard;
    const at::Tensor qkv = split_heads(packed, shape, 3);
    const at::Tensor weights = attention_weights(qkv, shape.is_causal);
    saved_ = {qkv, shape.keeps_weights ? weights : at::Tensor()};
    return join_heads(at::bmm(weights, qkv[kValue]).unsqueeze(0), shape);
  }

  variable_list apply(variable_list&& gradients) override {
    const at::Tensor& qkv = saved_.qkv;
    const at::Tensor weights =
        saved_.weights.defined() ? saved_.weights : attention_weights(qkv, shape.is_causal);
    const at::Tensor dy = split_heads(gradients[0].contiguous(), shape, 1)[0];
    const at::Tensor dqkv = at::empty_like(qkv);
    const auto product_into = [&](Plane plane, const at::Tensor& a, const at::Tensor& b) {
      at::Tensor out = dqkv[plane];
      at::bmm_out(out, a, b);
    };
    product_into(kValue, weights.transpose(1, 2), dy);
    at::Tensor dscores = at::bmm(dy, qkv[kValue].transpose(1, 2));  // dP, then dS / √d
    attention_softmax_backward_(dscores, weights, score_scale(qkv));
    product_into(kQuery, dscores, qkv[kKey]);
    product_into(kKey, dscores.transpose(1, 2), qkv[kQuery]);
    return {join_heads(dqkv, shape)};
  }
};

struct Nothing {};

// Splits [B·L, 3D] into Q, K and V [B, H, L, d] as views. Autograd's own way back copies the three
// gradients twice, once to stack and once to reorder them; this node once.
class SplitQkv : public AutogradNode<Nothing> {
 public:
  AttentionShape shape;

  variable_list forward(const at::Tensor& packed) const {
    const at::AutoDispatchBelowADInplaceOrView guard;  // plain views, which get their history here
    const at::Tensor qkv =
        packed.view({shape.batch, shape.length, 3, shape.heads, packed.size(1) / 3 / shape.heads})
            .permute({2, 0, 3, 1, 4});
    return {qkv.select(0, kQuery), qkv.select(0, kKey), qkv.select(0, kValue)};
  }

  variable_list apply(variable_list&& gradients) override {
    for (at::Tensor& gradient : gradients) gradient = gradient.transpose(1, 2);
    const at::Tensor all = at::stack(gradients, 2);  // [B, L, 3, H, d]
    return {all.view({shape.batch * shape.length, -1})};
  }
};

}  // namespace

at::Tensor self_attention(const at::Tensor& qkv, const AttentionShape& shape) {
  if (has_row_kernels(qkv)) {
    const auto function = make_autograd_node<SelfAttention>();
    function->shape = shape;
    at::Tensor result = function->forward(qkv);
    if (is_recorded({qkv})) record(function, {qkv}, {result});
    return result;
  }
  const auto split = make_autograd_node<SplitQkv>();
  split->shape = shape;
  const variable_list planes = split->forward(qkv.contiguous());
  if (is_recorded({qkv})) record(split, {qkv}, planes);
  return at::scaled_dot_product_attention(planes[kQuery], planes[kKey], planes[kValue], {}, 0.0,
                                          shape.is_causal)
      .transpose(1, 2)
      .reshape({shape.batch * shape.length, qkv.size(1) / 3});
}

}  // namespace saferclip
