#include "nn/linear_pass.h"

#include <ATen/ATen.h>

#include "saferclip/core/error.h"
#include "saferclip/core/matmul.h"
#include "saferclip/core/rng.h"

namespace saferclip {
namespace {

// 0 or 1/(1-p) for each element of x [N, I], a function of the key alone: the backward pass makes
// it again instead of keeping it.
at::Tensor dropout_mask(const LinearPlan& plan, at::IntArrayRef sizes,
                        const at::TensorOptions& options) {
  at::Generator generator = at::globalContext().defaultGenerator(options.device()).clone();
  generator.set_current_seed(plan.dropout_key);
  return at::empty(sizes, options).bernoulli_(1 - plan.dropout, generator).div_(1 - plan.dropout);
}

at::Tensor a_of(LinearTensors tensors, std::size_t segment) { return tensors[2 + 2 * segment]; }
at::Tensor b_of(LinearTensors tensors, std::size_t segment) { return tensors[3 + 2 * segment]; }

// A of all segments, [R, I].
at::Tensor all_a(const LinearPlan& plan, LinearTensors tensors, at::ScalarType dtype) {
  std::vector<at::Tensor> parts;
  for (std::size_t i = 0; i < plan.segments(); ++i) parts.push_back(a_of(tensors, i));
  return (parts.size() == 1 ? parts[0] : at::cat(parts)).to(dtype);
}

// The columns of a [N, O] or [N, R] tensor that belong to a segment.
at::Tensor segment_of(const LinearPlan& plan, const at::Tensor& all, std::size_t i) {
  return all.narrow(1, plan.rows[2 * i], plan.rows[2 * i + 1]);
}
at::Tensor ranks_of(LinearTensors tensors, const at::Tensor& all, std::size_t i) {
  std::int64_t begin = 0;
  for (std::size_t j = 0; j < i; ++j) begin += a_of(tensors, j).size(0);
  return all.narrow(1, begin, a_of(tensors, i).size(0));
}

// y[:, segment] += scaling · xa·Bᵀ.
void add_branches(const LinearPlan& plan, LinearTensors tensors, const at::Tensor& xa,
                  at::Tensor& y) {
  for (std::size_t i = 0; i < plan.segments(); ++i) {
    const at::Tensor b = b_of(tensors, i).mul(plan.scaling).to(y.dtype());
    segment_of(plan, y, i).addmm_(ranks_of(tensors, xa, i), b.t());
  }
}

}  // namespace

LinearPlan linear_plan(const Linear& layer, const ForwardMode& mode) {
  if (!layer.lora.empty() && layer.weight.requires_grad()) {
    throw Error("a linear layer cannot train its weight and carry an adapter", 1);
  }
  LinearPlan plan;
  plan.scaling = layer.lora_scaling;
  plan.packed = layer.packed;
  plan.packed_transpose = layer.packed_transpose;
  plan.dropout = mode.is_training ? layer.lora_dropout : 0;
  plan.dropout_key = mix_bits(mode.dropout_key, {layer.site});
  for (const LoraSegment& s : layer.lora) {
    plan.rows.push_back(s.row);
    plan.rows.push_back(s.rows);
  }
  return plan;
}

void append_tensors(const Linear& layer, const ForwardMode& mode,
                    torch::autograd::variable_list& tensors) {
  tensors.push_back(layer.weight.to(mode.compute));
  tensors.push_back(layer.bias.defined() ? layer.bias.to(mode.compute) : at::Tensor());
  for (const LoraSegment& s : layer.lora) {
    tensors.push_back(s.a);
    tensors.push_back(s.b);
  }
}

LinearForward linear_forward(const LinearPlan& plan, LinearTensors tensors, const at::Tensor& x,
                             const at::Tensor& addend) {
  const at::Tensor& weight = plan.packed.defined() ? plan.packed : tensors[0];
  LinearForward out{linear_product(x, weight, tensors[1], addend), {}};
  if (plan.segments() == 0) return out;
  const at::Tensor branch_x = plan.dropout > 0 ? x * dropout_mask(plan, x.sizes(), x.options()) : x;
  out.xa = linear_product(branch_x, all_a(plan, tensors, x.scalar_type()));
  add_branches(plan, tensors, out.xa, out.y);
  return out;
}

LinearBackward linear_input_gradient(const LinearPlan& plan, LinearTensors tensors,
                                     const at::Tensor& dy, bool needs_dx) {
  LinearBackward out;
  if (needs_dx) {
    out.dx = plan.packed_transpose.defined() ? linear_product(dy, plan.packed_transpose)
                                             : product(dy, tensors[0]);
  }
  if (plan.segments() == 0) return out;
  std::vector<at::Tensor> parts;
  for (std::size_t i = 0; i < plan.segments(); ++i) {
    const at::Tensor b = b_of(tensors, i).mul(plan.scaling).to(dy.dtype());
    parts.push_back(product(segment_of(plan, dy, i), b));
  }
  out.dyb = parts.size() == 1 ? parts[0] : at::cat(parts, 1);
  if (!needs_dx) return out;
  const at::Tensor a = all_a(plan, tensors, dy.scalar_type());
  if (plan.dropout > 0) {
    out.dx.add_(product(out.dyb, a).mul_(dropout_mask(plan, out.dx.sizes(), out.dx.options())));
  } else {
    out.dx.addmm_(out.dyb, a);
  }
  return out;
}

void append_weight_gradients(const LinearPlan& plan, LinearTensors tensors, const at::Tensor& x,
                             const at::Tensor& xa, const at::Tensor& dy, const at::Tensor& dyb,
                             const std::vector<bool>& needs,
                             torch::autograd::variable_list& gradients) {
  gradients.push_back(needs[0] ? product(dy.t(), x) : at::Tensor());
  gradients.push_back(needs[1] ? dy.sum(0) : at::Tensor());
  if (plan.segments() == 0) return;
  const at::Tensor branch_x = plan.dropout > 0 ? x * dropout_mask(plan, x.sizes(), x.options()) : x;
  const at::Tensor da = product(dyb.t(), branch_x);
  std::int64_t begin = 0;
  for (std::size_t i = 0; i < plan.segments(); ++i) {
    const at::Tensor a = a_of(tensors, i);
    const at::Tensor b = b_of(tensors, i);
    gradients.push_back(da.narrow(0, begin, a.size(0)).to(a.dtype()));
    begin += a.size(0);
    const at::Tensor db = product(segment_of(plan, dy, i).t(), ranks_of(tensors, xa, i));
    gradients.push_back(db.to(b.dtype()).mul_(plan.scaling));
  }
}

}  // namespace saferclip
