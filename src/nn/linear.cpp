#include "saferclip/nn/linear.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <optional>

#include "saferclip/core/error.h"
#include "saferclip/core/rng.h"

namespace saferclip {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// 0 or 1/(1-p) for each element, a function of the key alone: the backward pass makes it again
// instead of keeping it.
at::Tensor dropout_mask(const at::Tensor& like, double p, std::uint64_t key) {
  at::Generator generator = at::globalContext().defaultGenerator(like.device()).clone();
  generator.set_current_seed(key);
  return at::empty_like(like).bernoulli_(1 - p, generator).div_(1 - p);
}

at::Tensor merge(const at::Tensor& weight, const std::vector<LoraSegment>& segments,
                 double scaling) {
  at::Tensor merged = weight.clone();
  for (const LoraSegment& s : segments) {
    merged.narrow(0, s.row, s.rows)
        .addmm_(s.b.to(weight.dtype()), s.a.to(weight.dtype()), 1, scaling);
  }
  return merged;
}

struct LoraShape {
  double scaling = 0;
  double dropout = 0;
  std::uint64_t key = 0;
  std::vector<std::int64_t> rows;  // row, rows of each segment, flattened
};

// Inputs: x [N, I], W, b, then A and B of each segment in turn.
class LoraLinear : public torch::autograd::Function<LoraLinear> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& weight,
                            const std::optional<at::Tensor>& bias, at::TensorList factors,
                            const LoraShape& shape) {
    at::Tensor y;
    std::vector<LoraSegment> segments;
    for (std::size_t i = 0; i < factors.size() / 2; ++i) {
      segments.push_back(
          {"", factors[2 * i], factors[2 * i + 1], shape.rows[2 * i], shape.rows[2 * i + 1]});
    }
    if (x.scalar_type() != at::kBFloat16 && shape.dropout == 0) {
      y = at::linear(x, merge(weight, segments, shape.scaling), bias);
    } else {
      y = at::linear(x, weight, bias);
      const at::Tensor branch_x =
          shape.dropout > 0 ? x * dropout_mask(x, shape.dropout, shape.key) : x;
      for (const LoraSegment& s : segments) {
        const at::Tensor xa = at::mm(branch_x, s.a.to(x.dtype()).t());
        y.narrow(1, s.row, s.rows).addmm_(xa, s.b.to(x.dtype()).t(), 1, shape.scaling);
      }
    }
    variable_list saved{x, weight};
    saved.insert(saved.end(), factors.begin(), factors.end());
    ctx->save_for_backward(saved);
    ctx->saved_data["scaling"] = shape.scaling;
    ctx->saved_data["dropout"] = shape.dropout;
    ctx->saved_data["key"] = static_cast<std::int64_t>(shape.key);
    ctx->saved_data["rows"] = shape.rows;
    return y;
  }

  // dx = dy·W + s(dy·B)A, dB = s·dyᵀ(xAᵀ), dA = s·(dy·B)ᵀx.
  static variable_list backward(AutogradContext* ctx, variable_list gradients) {
    const at::Tensor dy = gradients[0].contiguous();
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor& x = saved[0];
    const at::Tensor& weight = saved[1];
    const double scaling = ctx->saved_data["scaling"].toDouble();
    const double dropout = ctx->saved_data["dropout"].toDouble();
    const std::vector<std::int64_t> rows = ctx->saved_data["rows"].toIntVector();
    const bool needs_dx = ctx->needs_input_grad(0);
    at::Tensor mask;
    at::Tensor branch_x = x;
    if (dropout > 0) {
      mask = dropout_mask(x, dropout, static_cast<std::uint64_t>(ctx->saved_data["key"].toInt()));
      branch_x = x * mask;
    }
    at::Tensor dx = needs_dx ? at::mm(dy, weight) : at::Tensor();
    at::Tensor branch_dx = needs_dx && dropout > 0 ? at::zeros_like(x) : dx;
    variable_list result{at::Tensor(), at::Tensor(), at::Tensor()};
    for (std::size_t i = 0; i < rows.size() / 2; ++i) {
      const at::Tensor a = saved[2 + 2 * i].to(x.dtype());
      const at::Tensor b = saved[3 + 2 * i].to(x.dtype());
      const at::Tensor dy_segment = dy.narrow(1, rows[2 * i], rows[2 * i + 1]);
      const at::Tensor dyb = at::mm(dy_segment, b).mul_(scaling);
      result.push_back(at::mm(dyb.t(), branch_x).to(saved[2 + 2 * i].dtype()));
      const at::Tensor xa = at::mm(branch_x, a.t()).mul_(scaling);
      result.push_back(at::mm(dy_segment.t(), xa).to(saved[3 + 2 * i].dtype()));
      if (needs_dx) branch_dx.addmm_(dyb, a);
    }
    if (needs_dx && dropout > 0) dx.add_(branch_dx.mul_(mask));
    result[0] = dx;
    result.emplace_back();
    return result;
  }
};

}  // namespace

at::Tensor linear(const Linear& layer, const at::Tensor& x, const ForwardMode& mode) {
  const auto cast = [&](const at::Tensor& t) { return t.defined() ? t.to(mode.compute) : t; };
  if (layer.lora.empty()) return at::linear(x, cast(layer.weight), cast(layer.bias));
  if (layer.weight.requires_grad()) {
    throw Error("a linear layer cannot train its weight and carry an adapter", 1);
  }
  LoraShape shape;
  shape.scaling = layer.lora_scaling;
  shape.dropout = mode.is_training ? layer.lora_dropout : 0;
  shape.key = mix_bits(mode.dropout_key, {layer.site});
  variable_list factors;
  for (const LoraSegment& s : layer.lora) {
    factors.push_back(s.a);
    factors.push_back(s.b);
    shape.rows.push_back(s.row);
    shape.rows.push_back(s.rows);
  }
  const at::Tensor flat = x.reshape({-1, x.size(-1)});
  const at::Tensor y =
      LoraLinear::apply(flat, cast(layer.weight),
                        layer.bias.defined() ? std::make_optional(cast(layer.bias)) : std::nullopt,
                        at::TensorList(factors), shape);
  std::vector<std::int64_t> sizes = x.sizes().vec();
  sizes.back() = layer.weight.size(0);
  return y.view(sizes);
}

at::Tensor merged_weight(const Linear& layer) {
  const at::NoGradGuard guard;
  return merge(layer.weight.to(at::kFloat), layer.lora, layer.lora_scaling);
}

}  // namespace saferclip
