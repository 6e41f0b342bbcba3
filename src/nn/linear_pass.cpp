// A linear layer with low-rank adapters, in mode.compute throughout. With X [N, I], W [O, I],
// A [r, I], B [rows, r], s = alpha / r, M the dropout mask (0 or 1/(1-p)) and Y_S the output
// columns of an adapter S:
//   Y   = X Wᵀ + b + addend,            Y_S += s · (M∘X) Aᵀ Bᵀ
//   dX  = dY W + M∘((s · dY_S B) A)     summed over the adapters
//   dW  = dYᵀ X,   db = 1ᵀ dY
//   dA  = (s · dY_S B)ᵀ (M∘X),   dB = s · dY_Sᵀ (M∘X Aᵀ)
// The A of all adapters are stacked, [R, I], so that each of X·Aᵀ, dX and dA is one product. M is
// a function of the dropout key and is recomputed in the backward pass instead of kept.
#include "nn/linear_pass.h"

#include <ATen/ATen.h>

#include "nn/masked_weight.h"
#include "saferclip/core/error.h"
#include "saferclip/core/matmul.h"
#include "saferclip/core/rng.h"

namespace saferclip {
namespace {

// M for x [N, I].
at::Tensor dropout_mask(const LinearPass& layer, const at::Tensor& x) {
  at::Generator generator = at::globalContext().defaultGenerator(x.options().device()).clone();
  generator.set_current_seed(layer.dropout_key);
  return at::empty(x.sizes(), x.options())
      .bernoulli_(1 - layer.dropout, generator)
      .div_(1 - layer.dropout);
}

// M∘X, the adapters' input.
at::Tensor dropped_out(const LinearPass& layer, const at::Tensor& x) {
  return layer.dropout > 0 ? x * dropout_mask(layer, x) : x;
}

// A of all adapters, [R, I].
at::Tensor stacked_a(const LinearPass& layer, at::ScalarType dtype) {
  if (layer.a_copy.defined()) return layer.a_copy.detach();
  std::vector<at::Tensor> blocks;
  for (const LinearPass::Adapter& adapter : layer.adapters) blocks.push_back(adapter.a);
  return (blocks.size() == 1 ? blocks[0] : at::cat(blocks)).to(dtype);
}

// The columns of a [N, O] tensor that an adapter writes.
at::Tensor output_columns(const at::Tensor& all, const LinearPass::Adapter& adapter) {
  return all.narrow(1, adapter.row, adapter.rows);
}

std::int64_t rank_of(const LinearPass::Adapter& adapter) { return adapter.a.size(0); }

// s · B in the dtype of the products.
at::Tensor scaled_b(const LinearPass& layer, const LinearPass::Adapter& adapter,
                    at::ScalarType dtype) {
  return layer.a_copy.defined() ? adapter.b.detach() : adapter.b.mul(layer.scaling).to(dtype);
}

}  // namespace

LinearPass linear_pass(const Linear& layer, const ForwardMode& mode) {
  const bool is_adapted = !layer.lora.empty() || !layer.masks.empty();
  if (is_adapted && layer.weight.requires_grad()) {
    throw Error("a linear layer cannot both train its weight and have an adapter or masks", 1);
  }
  if (!layer.lora.empty() && !layer.masks.empty()) {
    throw Error("a linear layer cannot have both adapters and masks", 1);
  }
  LinearPass pass;
  pass.weight = in_compute(layer.weight, mode);
  if (!layer.masks.empty()) pass.weight = trained_masked_weight(layer, pass.weight);
  if (layer.bias.defined()) pass.bias = in_compute(layer.bias, mode);
  for (const LoraSegment& s : layer.lora) pass.adapters.push_back({s.a, s.b, s.row, s.rows});
  if (mode.copies != nullptr && !layer.lora.empty()) {
    pass.a_copy = mode.copies->read(layer.lora.front().a);
    for (LinearPass::Adapter& adapter : pass.adapters) adapter.b = mode.copies->read(adapter.b);
  }
  pass.scaling = layer.lora_scaling;
  pass.dropout = mode.is_training ? layer.lora_dropout : 0;
  pass.dropout_key = mix_bits(mode.dropout_key, {layer.site});
  pass.packed = layer.packed;
  pass.packed_transpose = layer.packed_transpose;
  return pass;
}

void append_inputs(const LinearPass& layer, torch::autograd::variable_list& inputs) {
  inputs.push_back(layer.weight);
  inputs.push_back(layer.bias);
  if (layer.a_copy.defined()) inputs.push_back(layer.a_copy);
  for (const LinearPass::Adapter& adapter : layer.adapters) {
    if (!layer.a_copy.defined()) inputs.push_back(adapter.a);
    inputs.push_back(adapter.b);
  }
}

LinearForward linear_forward(const LinearPass& layer, const at::Tensor& x,
                             const at::Tensor& addend) {
  const at::Tensor& weight = layer.packed.defined() ? layer.packed : layer.weight;
  LinearForward out{linear_product(x, weight, layer.bias, addend), {}};
  if (layer.adapters.empty()) return out;
  out.xa = linear_product(dropped_out(layer, x), stacked_a(layer, x.scalar_type()));
  std::int64_t begin = 0;  // in the columns of xa
  for (const LinearPass::Adapter& adapter : layer.adapters) {
    const at::Tensor b = scaled_b(layer, adapter, out.y.scalar_type());
    output_columns(out.y, adapter).addmm_(out.xa.narrow(1, begin, rank_of(adapter)), b.t());
    begin += rank_of(adapter);
  }
  return out;
}

LinearBackward linear_input_gradient(const LinearPass& layer, const at::Tensor& dy, bool needs_dx) {
  LinearBackward out;
  if (needs_dx) {
    out.dx = layer.packed_transpose.defined() ? linear_product(dy, layer.packed_transpose)
                                              : product(dy, layer.weight);
  }
  if (layer.adapters.empty()) return out;
  std::vector<at::Tensor> blocks;
  for (const LinearPass::Adapter& adapter : layer.adapters) {
    blocks.push_back(
        product(output_columns(dy, adapter), scaled_b(layer, adapter, dy.scalar_type())));
  }
  out.dyb = blocks.size() == 1 ? blocks[0] : at::cat(blocks, 1);
  if (!needs_dx) return out;
  const at::Tensor a = stacked_a(layer, dy.scalar_type());
  if (layer.dropout > 0) {
    out.dx.add_(product(out.dyb, a).mul_(dropout_mask(layer, out.dx)));
  } else {
    out.dx.addmm_(out.dyb, a);
  }
  return out;
}

void append_weight_gradients(const LinearPass& layer, const LinearOperands& operands,
                             const std::vector<bool>& needs,
                             torch::autograd::variable_list& gradients) {
  const auto& [x, xa, dy, dyb] = operands;
  gradients.push_back(needs[0] ? product(dy.t(), x) : at::Tensor());
  gradients.push_back(needs[1] ? dy.sum(0) : at::Tensor());
  if (layer.adapters.empty()) return;
  const at::Tensor da = product(dyb.t(), dropped_out(layer, x));  // of all adapters, [R, I]
  const bool has_copies = layer.a_copy.defined();
  if (has_copies) gradients.push_back(da);
  std::int64_t begin = 0;
  for (const LinearPass::Adapter& adapter : layer.adapters) {
    const std::int64_t rank = rank_of(adapter);
    if (!has_copies) gradients.push_back(da.narrow(0, begin, rank).to(adapter.a.dtype()));
    const at::Tensor db = product(output_columns(dy, adapter).t(), xa.narrow(1, begin, rank));
    gradients.push_back(has_copies ? db : db.to(adapter.b.dtype()).mul_(layer.scaling));
    begin += rank;
  }
}

}  // namespace saferclip
