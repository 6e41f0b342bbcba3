#include "nn/sublayers.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <array>
#include <tuple>

#include "nn/activation.h"
#include "nn/linear_pass.h"
#include "nn/autograd_node.h"
#include "nn/row_kernels.h"

namespace saferclip {
namespace {

using torch::autograd::variable_list;

struct Norm {
  at::Tensor weight;  // undefined: no norm
  at::Tensor bias;
  double eps;
};

// The CPU kernel takes fp32 weights with bf16 activations, the CUDA kernel wants one dtype.
at::Tensor norm_parameter(const at::Tensor& parameter, const at::Tensor& x) {
  return x.is_cpu() ? parameter : parameter.to(x.dtype());
}

bool is_by_rows(const Norm& norm, const at::Tensor& x) {
  return has_row_kernels(x) && norm.weight.scalar_type() == at::kFloat;
}

NormedRows normalise(const Norm& norm, const at::Tensor& x) {
  if (!norm.weight.defined()) return {x, {}, {}};
  if (is_by_rows(norm, x)) return norm_rows(x, norm.weight, norm.bias, norm.eps);
  auto [y, mean, rstd] = at::native_layer_norm(x, {x.size(1)}, norm_parameter(norm.weight, x),
                                               norm_parameter(norm.bias, x), norm.eps);
  return {y, mean, rstd};
}

at::Tensor normalise_again(const Norm& norm, const at::Tensor& x, const at::Tensor& mean,
                           const at::Tensor& rstd) {
  if (!norm.weight.defined()) return x;
  if (is_by_rows(norm, x)) return norm_rows_again(x, norm.weight, norm.bias, mean, rstd);
  return normalise(norm, x).y;
}

// Gradients of x (plus `addend`), weight and bias; `needs` one flag each. `dy` is given up.
variable_list norm_backward(const Norm& norm, at::Tensor dy, const at::Tensor& x,
                            const at::Tensor& mean, const at::Tensor& rstd,
                            std::array<bool, 3> needs, const at::Tensor& addend = {}) {
  const bool trains = needs[1] || needs[2];
  if (norm.weight.defined() && is_by_rows(norm, x) && !trains) {
    norm_rows_backward_(dy, x, norm.weight, mean, rstd, addend);
    return {dy, {}, {}};
  }
  at::Tensor dx = dy, dw, db;
  if (norm.weight.defined()) {
    std::tie(dx, dw, db) = at::native_layer_norm_backward(dy, x, {x.size(1)}, mean, rstd,
                                                          norm_parameter(norm.weight, x),
                                                          norm_parameter(norm.bias, x), needs);
  }
  if (needs[0] && addend.defined()) dx.add_(addend);
  return {dx, needs[1] ? dw.to(norm.weight.dtype()) : dw, needs[2] ? db.to(norm.bias.dtype()) : db};
}

bool any(const std::vector<bool>& flags) {
  return std::find(flags.begin(), flags.end(), true) != flags.end();
}

// Inputs: x, addend, norm weight, norm bias, the layer's.
class NormLinear : public AutogradNode {
  static constexpr std::size_t kLayer = 4;

 public:
  LinearPlan plan;
  double norm_eps = 0;

  at::Tensor forward(const variable_list& inputs) {
    require_going_on();
    const at::NoGradGuard guard;
    const at::Tensor& x = inputs[0];
    const NormedRows normed = normalise({inputs[2], inputs[3], norm_eps}, x);
    LinearForward out =
        linear_forward(plan, LinearTensors(inputs).slice(kLayer), normed.y, inputs[1]);
    saved_ = {x, inputs[2], inputs[3], normed.mean, normed.rstd, out.xa};
    saved_.insert(saved_.end(), inputs.begin() + kLayer, inputs.end());
    return out.y;
  }

  variable_list apply(variable_list&& gradients) override {
    require_going_on();
    const at::Tensor& x = saved_[0];
    const Norm norm{saved_[1], saved_[2], norm_eps};
    const LinearTensors layer = LinearTensors(saved_).slice(6);
    const at::Tensor dy = gradients[0].contiguous();
    const std::vector<bool> needs_layer = needs(kLayer, layer.size());
    const std::vector<bool> flags = needs(0, kLayer);
    const bool goes_down = flags[0] || flags[2] || flags[3];
    const LinearBackward back = linear_input_gradient(plan, layer, dy, goes_down);
    variable_list result{{}, gradients[0], {}, {}};
    append_weight_gradients(plan, layer,
                            any(needs_layer) ? normalise_again(norm, x, saved_[3], saved_[4]) : x,
                            saved_[5], dy, back.dyb, needs_layer, result);
    if (!goes_down) return result;
    const variable_list down =
        norm_backward(norm, back.dx, x, saved_[3], saved_[4], {flags[0], flags[2], flags[3]});
    result[0] = down[0];
    result[2] = down[1];
    result[3] = down[2];
    return result;
  }
};

// Inputs: x, norm weight, norm bias, those of fc1, those of fc2.
class ResidualMlp : public AutogradNode {
  static constexpr std::size_t kFirst = 3;

 public:
  LinearPlan plan1;
  LinearPlan plan2;
  double norm_eps = 0;
  Activation activation = Activation::kQuickGelu;

  at::Tensor forward(const variable_list& inputs) {
    require_going_on();
    const at::NoGradGuard guard;
    const at::Tensor& x = inputs[0];
    const LinearTensors layers = LinearTensors(inputs).slice(kFirst);
    const NormedRows normed = normalise({inputs[1], inputs[2], norm_eps}, x);
    LinearForward inner = linear_forward(plan1, layers.slice(0, plan1.tensors()), normed.y);
    LinearForward out =
        linear_forward(plan2, layers.slice(plan1.tensors()), activate(activation, inner.y), x);
    saved_ = {x, inputs[1], inputs[2], normed.mean, normed.rstd, inner.y, inner.xa, out.xa};
    saved_.insert(saved_.end(), layers.begin(), layers.end());
    return out.y;
  }

  variable_list apply(variable_list&& gradients) override {
    require_going_on();
    const LinearTensors fc1 = LinearTensors(saved_).slice(8, plan1.tensors());
    const LinearTensors fc2 = LinearTensors(saved_).slice(8 + plan1.tensors());
    const at::Tensor dy = gradients[0].contiguous();
    variable_list of_fc2;
    const at::Tensor dinner = through_fc2(fc2, dy, needs(kFirst + fc1.size(), fc2.size()), of_fc2);

    const at::Tensor& x = saved_[0];
    const Norm norm{saved_[1], saved_[2], norm_eps};
    const std::vector<bool> flags = needs(0, kFirst);
    const bool goes_down = any(flags);
    const std::vector<bool> needs1 = needs(kFirst, fc1.size());
    const LinearBackward back = linear_input_gradient(plan1, fc1, dinner, goes_down);
    variable_list result(kFirst);
    append_weight_gradients(plan1, fc1,
                            any(needs1) ? normalise_again(norm, x, saved_[3], saved_[4]) : x,
                            saved_[6], dinner, back.dyb, needs1, result);
    result.insert(result.end(), of_fc2.begin(), of_fc2.end());
    if (!goes_down) return result;
    const variable_list down =
        norm_backward(norm, back.dx, x, saved_[3], saved_[4], {flags[0], flags[1], flags[2]}, dy);
    std::copy(down.begin(), down.end(), result.begin());
    return result;
  }

 private:
  // From the gradient of the result to that of fc1's output; appends the gradients of fc2.
  at::Tensor through_fc2(LinearTensors fc2, const at::Tensor& dy, const std::vector<bool>& needs2,
                         variable_list& of_fc2) {
    const LinearBackward back = linear_input_gradient(plan2, fc2, dy, true);
    at::Tensor hidden;
    at::Tensor dinner =
        activation_backward(activation, back.dx, saved_[5], any(needs2) ? &hidden : nullptr);
    append_weight_gradients(plan2, fc2, hidden, saved_[7], dy, back.dyb, needs2, of_fc2);
    return dinner;
  }
};

template <class Function>
at::Tensor run(const Function& function, const variable_list& inputs) {
  at::Tensor result = function->forward(inputs);
  if (is_recorded(inputs)) record(function, inputs, result);
  return result;
}

}  // namespace

at::Tensor norm_linear(const LayerNorm& norm, const Linear& layer, const at::Tensor& x,
                       const at::Tensor& addend, const ForwardMode& mode) {
  const auto function = make_autograd_node<NormLinear>();
  function->plan = linear_plan(layer, mode);
  function->norm_eps = norm.eps;
  function->stop = mode.stop;
  variable_list inputs{x, addend, norm.weight, norm.bias};
  append_tensors(layer, mode, inputs);
  return run(function, inputs);
}

at::Tensor residual_mlp(Activation activation, const LayerNorm& norm, const Linear& fc1,
                        const Linear& fc2, const at::Tensor& x, const ForwardMode& mode) {
  const auto function = make_autograd_node<ResidualMlp>();
  function->plan1 = linear_plan(fc1, mode);
  function->plan2 = linear_plan(fc2, mode);
  function->norm_eps = norm.eps;
  function->stop = mode.stop;
  function->activation = activation;
  variable_list inputs{x, norm.weight, norm.bias};
  append_tensors(fc1, mode, inputs);
  append_tensors(fc2, mode, inputs);
  return run(function, inputs);
}

}  // namespace saferclip
