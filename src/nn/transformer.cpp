#include "saferclip/nn/transformer.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

namespace saferclip {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr double kQuickGeluSlope = 1.702;

// x·σ(kx) = silu(kx)/k: the fused SiLU kernels serve in both directions.
class QuickGelu : public torch::autograd::Function<QuickGelu> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x) {
    ctx->save_for_backward({x});
    at::Tensor scaled = x.mul(kQuickGeluSlope);
    return at::silu_(scaled).mul_(1 / kQuickGeluSlope);
  }
  static variable_list backward(AutogradContext* ctx, variable_list gradients) {
    const at::Tensor x = ctx->get_saved_variables()[0];
    return {at::silu_backward(gradients[0], x.mul(kQuickGeluSlope))};
  }
};

// Softmax attention of one block, before its output projection: [B, L, D].
at::Tensor attend(const Transformer& transformer, const Block& block, const at::Tensor& x,
                  const ForwardMode& mode) {
  const std::int64_t batch = x.size(0);
  const std::int64_t length = x.size(1);
  const std::int64_t width = x.size(2);
  const at::Tensor qkv = linear(block.qkv, layer_norm(block.norm1, x), mode)
                             .view({batch, length, 3, transformer.heads, width / transformer.heads})
                             .permute({2, 0, 3, 1, 4});
  const std::vector<at::Tensor> parts = qkv.unbind(0);
  return at::scaled_dot_product_attention(parts[0], parts[1], parts[2], {}, 0.0,
                                          transformer.is_causal)
      .transpose(1, 2)
      .reshape({batch, length, width});
}

at::Tensor mlp(const Transformer& transformer, const Block& block, const at::Tensor& x,
               const ForwardMode& mode) {
  return feed_forward(transformer.activation, block.norm2, block.fc1, block.fc2, x, mode);
}

at::Tensor pick_rows(const at::Tensor& x, const at::Tensor& rows) {
  const at::Tensor index = rows.view({-1, 1, 1}).expand({-1, 1, x.size(2)});
  return x.gather(1, index).squeeze(1);
}

at::Tensor full_block(const Transformer& transformer, const Block& block, const at::Tensor& x,
                      const ForwardMode& mode) {
  const at::Tensor attended = x + linear(block.out, attend(transformer, block, x, mode), mode);
  return attended + mlp(transformer, block, attended, mode);
}

}  // namespace

std::string to_string(Activation activation) {
  switch (activation) {
    case Activation::kQuickGelu:
      return "quick_gelu";
    case Activation::kGelu:
      return "gelu";
    case Activation::kGeluTanh:
      return "gelu_pytorch_tanh";
  }
  return "";
}

at::Tensor activate(Activation activation, const at::Tensor& x) {
  if (activation == Activation::kQuickGelu) return QuickGelu::apply(x);
  return at::gelu(x, activation == Activation::kGelu ? "none" : "tanh");
}

at::Tensor feed_forward(Activation activation, const LayerNorm& norm, const Linear& fc1,
                        const Linear& fc2, const at::Tensor& x, const ForwardMode& mode) {
  return linear(fc2, activate(activation, linear(fc1, layer_norm(norm, x), mode)), mode);
}

at::Tensor layer_norm(const LayerNorm& norm, const at::Tensor& x) {
  // The CPU kernel takes fp32 weights with bf16 activations, the CUDA kernel wants one dtype.
  const bool needs_cast = !x.is_cpu() && norm.weight.scalar_type() != x.scalar_type();
  return at::layer_norm(x, {x.size(-1)}, needs_cast ? norm.weight.to(x.dtype()) : norm.weight,
                        needs_cast ? norm.bias.to(x.dtype()) : norm.bias, norm.eps);
}

at::Tensor transformer_rows(const Transformer& transformer, at::Tensor x, const at::Tensor& rows,
                            const ForwardMode& mode) {
  for (std::size_t i = 0; i + 1 < transformer.blocks.size(); ++i) {
    x = full_block(transformer, transformer.blocks[i], x, mode);
  }
  const Block& last = transformer.blocks.back();
  const at::Tensor attended = pick_rows(attend(transformer, last, x, mode), rows);
  const at::Tensor row = pick_rows(x, rows) + linear(last.out, attended, mode);
  return row + mlp(transformer, last, row, mode);
}

at::Tensor transformer_tokens(const Transformer& transformer, at::Tensor x, std::size_t layers,
                              const ForwardMode& mode) {
  for (std::size_t i = 0; i < layers; ++i) {
    x = full_block(transformer, transformer.blocks[i], x, mode);
  }
  return x;
}

}  // namespace saferclip
