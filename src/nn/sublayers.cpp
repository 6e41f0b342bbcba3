// One node a sublayer instead of one an operator: a node keeps x, the norm's statistics and the
// MLP's pre-activation, and its backward pass recomputes LayerNorm's result and the activation,
// which cost little. The matrix products are linear_pass.cpp's. With n = (x - mean) · rstd:
//   LayerNorm  y = n ∘ w + b,  g = dy ∘ w,  dx = rstd · (g - mean(g) - n · mean(g ∘ n)) row by row,
//              dw = Σ_rows dy ∘ n,  db = Σ_rows dy
//   NormLinear y = Linear(LayerNorm(x)) + addend,  d addend = dy
//   MLP        y = x + fc2(h),  h = act(u),  u = fc1(LayerNorm(x));
//              du = dh ∘ act'(u),  dx = dy + (LayerNorm's dx)
#include "nn/sublayers.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <array>
#include <tuple>

#include "nn/activation.h"
#include "nn/autograd_node.h"
#include "nn/linear_pass.h"
#include "nn/row_kernels.h"

namespace saferclip {
namespace {

using torch::autograd::variable_list;

// A LayerNorm and its input x [N, I], with the row statistics once they are known. Without a
// weight it is the identity.
struct NormPass {
  at::Tensor x;
  at::Tensor weight;
  at::Tensor bias;
  double eps = 0;
  at::Tensor mean;
  at::Tensor rstd;
  at::Tensor y;                       // the result, where it is kept
  at::ScalarType dtype = at::kFloat;  // of the rows outside
};

// Frozen weights are cast for CUDA once, where there are copies to keep the cast.
NormPass make_norm_pass(const LayerNorm& norm, const at::Tensor& x, const ForwardMode& mode) {
  const bool is_cast = !x.is_cpu() && mode.copies != nullptr && norm.weight.defined() &&
                       !norm.weight.requires_grad() && !norm.bias.requires_grad();
  if (!is_cast) return {x, norm.weight, norm.bias, norm.eps, {}, {}, {}, x.scalar_type()};
  return {x,
          in_compute(norm.weight, mode),
          in_compute(norm.bias, mode),
          norm.eps,
          {},
          {},
          {},
          x.scalar_type()};
}

// The CPU's kernel takes fp32 weights with bf16 rows, CUDA's needs one dtype. Trained weights stay
// fp32 there too, because rounded to bf16 a small update would not reach the pass: the rows are
// widened instead.
NormPass widened(const NormPass& norm) {
  NormPass wide = norm;
  const bool is_mixed = norm.weight.defined() && !norm.x.is_cpu() &&
                        norm.weight.scalar_type() != norm.x.scalar_type();
  if (is_mixed) wide.x = norm.x.to(norm.weight.dtype());
  return wide;
}

bool is_by_rows(const NormPass& norm) {
  return has_row_kernels(norm.x) && norm.weight.scalar_type() == at::kFloat;
}

// LayerNorm's result and statistics, of a widened pass.
NormedRows normalize(const NormPass& norm) {
  const at::Tensor& x = norm.x;
  if (!norm.weight.defined()) return {x, {}, {}};
  if (is_by_rows(norm)) return norm_rows(x, norm.weight, norm.bias, norm.eps);
  auto [y, mean, rstd] = at::native_layer_norm(x, {x.size(1)}, norm.weight, norm.bias, norm.eps);
  return {y.to(norm.dtype), mean, rstd};
}

// Keeps what the backward pass reads of a forward pass. With trained weights on a GPU that is the
// result too: making it again takes three kernels there.
void keep_result(NormPass& norm, const NormedRows& normed) {
  norm.mean = normed.mean;
  norm.rstd = normed.rstd;
  if (norm.weight.defined() && norm.weight.requires_grad() && !norm.x.is_cpu()) norm.y = normed.y;
}

// The result a second time, in the backward pass.
at::Tensor normalize_again(const NormPass& norm) {
  if (!norm.weight.defined()) return norm.x;
  if (norm.y.defined()) return norm.y;
  if (is_by_rows(norm)) {
    return recompute_norm_rows(norm.x, norm.weight, norm.bias, norm.mean, norm.rstd);
  }
  return normalize(norm).y;
}

struct NormGradients {
  at::Tensor x;
  at::Tensor weight;
  at::Tensor bias;
};
struct NormNeeds {
  bool x = false;
  bool weight = false;
  bool bias = false;
  bool any() const { return x || weight || bias; }
};

// `addend`, if defined, is added to the gradient of x. May overwrite `dy`.
NormGradients norm_backward(const NormPass& norm, at::Tensor dy, const NormNeeds& needs,
                            const at::Tensor& addend = {}) {
  const at::Tensor& x = norm.x;
  const bool trains = needs.weight || needs.bias;
  if (norm.weight.defined() && is_by_rows(norm) && !trains) {
    norm_rows_backward_(dy, x, norm.weight, norm.mean, norm.rstd, addend);
    return {dy, {}, {}};
  }
  at::Tensor dx = dy, dw, db;
  if (norm.weight.defined()) {
    std::tie(dx, dw, db) = at::native_layer_norm_backward(
        dy.to(x.dtype()), x, {x.size(1)}, norm.mean, norm.rstd, norm.weight, norm.bias,
        std::array{needs.x, needs.weight, needs.bias});
  }
  if (needs.x && addend.defined()) {
    at::Tensor sum = at::empty_like(addend);  // one kernel, also where dx is wider
    dx = at::add_out(sum, dx, addend);
  } else if (needs.x) {
    dx = dx.to(norm.dtype);
  }
  return {dx, needs.weight ? dw.to(norm.weight.dtype()) : dw,
          needs.bias ? db.to(norm.bias.dtype()) : db};
}

bool any(const std::vector<bool>& flags) {
  return std::find(flags.begin(), flags.end(), true) != flags.end();
}

struct NormLinearSaved {
  NormPass norm;
  LinearPass layer;
  at::Tensor xa;
};

// Inputs: x, addend, norm weight, norm bias, the layer's.
class NormLinear : public AutogradNode<NormLinearSaved> {
  static constexpr std::size_t kLayer = 4;

 public:
  at::Tensor forward(const NormPass& norm, const LinearPass& layer, const at::Tensor& addend) {
    throw_if_stopped();
    const at::NoGradGuard guard;
    const NormedRows normed = normalize(widened(norm));
    LinearForward out = linear_forward(layer, normed.y, addend);
    saved_ = {norm, layer, out.xa};
    keep_result(saved_.norm, normed);
    return out.y;
  }

  variable_list apply(variable_list&& gradients) override {
    throw_if_stopped();
    const auto& [saved_norm, layer, xa] = saved_;
    const NormPass norm = widened(saved_norm);
    const at::Tensor dy = gradients[0].contiguous();
    const std::vector<bool> flags = needs(0, kLayer);
    const NormNeeds needs_norm{flags[0], flags[2], flags[3]};
    const std::vector<bool> needs_layer = needs(kLayer, layer.input_count());
    const LinearBackward back = linear_input_gradient(layer, dy, needs_norm.any());
    variable_list result{{}, gradients[0], {}, {}};
    const at::Tensor layer_input = any(needs_layer) ? normalize_again(norm) : norm.x;
    append_weight_gradients(layer, {layer_input, xa, dy, back.dyb}, needs_layer, result);
    if (!needs_norm.any()) return result;
    const NormGradients of_norm = norm_backward(norm, back.dx, needs_norm);
    result[0] = of_norm.x;
    result[2] = of_norm.weight;
    result[3] = of_norm.bias;
    return result;
  }
};

struct ResidualMlpSaved {
  NormPass norm;
  LinearPass fc1;
  LinearPass fc2;
  at::Tensor pre_activation;  // u [N, mlp], as activate() keeps it
  at::Tensor xa1;
  at::Tensor xa2;
};

// Inputs: x, norm weight, norm bias, those of fc1, those of fc2.
class ResidualMlp : public AutogradNode<ResidualMlpSaved> {
  static constexpr std::size_t kFirst = 3;

 public:
  Activation activation = Activation::kQuickGelu;

  at::Tensor forward(const NormPass& norm, const LinearPass& fc1, const LinearPass& fc2) {
    throw_if_stopped();
    const at::NoGradGuard guard;
    const NormedRows normed = normalize(widened(norm));
    LinearForward inner = linear_forward(fc1, normed.y);
    const Activated hidden = activate(activation, inner.y);
    LinearForward out = linear_forward(fc2, hidden.value, norm.x);
    saved_ = {norm, fc1, fc2, hidden.kept, inner.xa, out.xa};
    keep_result(saved_.norm, normed);
    return out.y;
  }

  variable_list apply(variable_list&& gradients) override {
    throw_if_stopped();
    const NormPass norm = widened(saved_.norm);
    const LinearPass& fc1 = saved_.fc1;
    const at::Tensor dy = gradients[0].contiguous();
    variable_list of_fc2;
    const at::Tensor du = fc2_backward(dy, of_fc2);

    const std::vector<bool> flags = needs(0, kFirst);
    const NormNeeds needs_norm{flags[0], flags[1], flags[2]};
    const std::vector<bool> needs_fc1 = needs(kFirst, fc1.input_count());
    const LinearBackward back = linear_input_gradient(fc1, du, needs_norm.any());
    variable_list result(kFirst);
    const at::Tensor layer_input = any(needs_fc1) ? normalize_again(norm) : norm.x;
    append_weight_gradients(fc1, {layer_input, saved_.xa1, du, back.dyb}, needs_fc1, result);
    result.insert(result.end(), of_fc2.begin(), of_fc2.end());
    if (!needs_norm.any()) return result;
    const NormGradients of_norm = norm_backward(norm, back.dx, needs_norm, dy);
    result[0] = of_norm.x;
    result[1] = of_norm.weight;
    result[2] = of_norm.bias;
    return result;
  }

 private:
  // du from dy; appends the gradients of fc2's inputs.
  at::Tensor fc2_backward(const at::Tensor& dy, variable_list& of_fc2) {
    const LinearPass& fc2 = saved_.fc2;
    const std::vector<bool> needs_fc2 = needs(kFirst + saved_.fc1.input_count(), fc2.input_count());
    const LinearBackward back = linear_input_gradient(fc2, dy, true);
    at::Tensor h;
    at::Tensor du = activation_backward(activation, back.dx, saved_.pre_activation,
                                        any(needs_fc2) ? &h : nullptr);
    append_weight_gradients(fc2, {h, saved_.xa2, dy, back.dyb}, needs_fc2, of_fc2);
    return du;
  }
};

}  // namespace

at::Tensor norm_linear(const LayerNorm& norm, const Linear& layer, const at::Tensor& x,
                       const at::Tensor& addend, const ForwardMode& mode) {
  const auto function = make_autograd_node<NormLinear>();
  function->stop = mode.stop;
  const LinearPass pass = linear_pass(layer, mode);
  const NormPass norm_pass = make_norm_pass(norm, x, mode);
  variable_list inputs{x, addend, norm.weight, norm.bias};
  append_inputs(pass, inputs);
  at::Tensor result = function->forward(norm_pass, pass, addend);
  if (is_recorded(inputs)) record(function, inputs, {result});
  return result;
}

at::Tensor residual_mlp(Activation activation, const LayerNorm& norm, const Linear& fc1,
                        const Linear& fc2, const at::Tensor& x, const ForwardMode& mode) {
  const auto function = make_autograd_node<ResidualMlp>();
  function->stop = mode.stop;
  function->activation = activation;
  const LinearPass pass1 = linear_pass(fc1, mode);
  const LinearPass pass2 = linear_pass(fc2, mode);
  variable_list inputs{x, norm.weight, norm.bias};
  append_inputs(pass1, inputs);
  append_inputs(pass2, inputs);
  at::Tensor result = function->forward(make_norm_pass(norm, x, mode), pass1, pass2);
  if (is_recorded(inputs)) record(function, inputs, {result});
  return result;
}

}  // namespace saferclip
