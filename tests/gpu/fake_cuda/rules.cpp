// Where CUDA is stricter than the CPU, as far as a training program can meet it. The lists were
// read off a CUDA build's dispatch tables (tests/gpu/operators.py --rules prints them) and ATen's
// CUDA sources: operators without a CUDA kernel, products and convolutions whose operands must have
// one dtype, fused optimizers, arguments that may not stay on the CPU, operators whose result the
// host must know the size of.
#include <ATen/core/Tensor.h>
#include <ATen/core/ivalue.h>

#include <algorithm>
#include <optional>
#include <set>

#include "kernels.h"

namespace fake_cuda {
namespace {

using Names = std::set<std::string, std::less<>>;

const Names& without_cuda_kernel() {
  static const Names* names =
      new Names{"aten::_add_relu",
                "aten::_add_relu_",
                "aten::_convert_weight_to_int4pack_for_cpu",
                "aten::_dyn_quant_matmul_4bit",
                "aten::_dyn_quant_pack_4bit_weight",
                "aten::_empty_affine_quantized",
                "aten::_empty_per_channel_affine_quantized",
                "aten::_histogramdd_bin_edges",
                "aten::_histogramdd_from_bin_cts",
                "aten::_histogramdd_from_bin_tensors",
                "aten::_scaled_dot_product_flash_attention_for_cpu",
                "aten::_scaled_dot_product_flash_attention_for_cpu_backward",
                "aten::_spdiags",
                "aten::_upsample_lanczos2d_aa",
                "aten::_weight_int4pack_mm_for_cpu",
                "aten::from_file",
                "aten::histogram",
                "aten::mkldnn_rnn_layer",
                "aten::quantized_gru",
                "aten::quantized_lstm",
                "aten::slow_conv3d_forward",
                "aten::to_mkldnn"};
  return *names;
}

// All operands have one dtype. Overloads named "dtype" write another one.
const Names& of_one_dtype() {
  static const Names* names = new Names{"aten::mm",
                                        "aten::addmm",
                                        "aten::bmm",
                                        "aten::baddbmm",
                                        "aten::mv",
                                        "aten::addmv",
                                        "aten::addmv_",
                                        "aten::addmm_",
                                        "aten::baddbmm_",
                                        "aten::dot",
                                        "aten::vdot",
                                        "aten::addbmm",
                                        "aten::addr",
                                        "aten::linear",
                                        "aten::convolution",
                                        "aten::_convolution",
                                        "aten::conv2d",
                                        "aten::_slow_conv2d_forward",
                                        "aten::_addmm_activation",
                                        "aten::convolution_backward",
                                        "aten::lerp",
                                        "aten::lerp_",
                                        "aten::native_group_norm"};
  return *names;
}

const Names& with_all_on_device() {
  static const Names* names = new Names{"aten::cat",
                                        "aten::stack",
                                        "aten::index_select",
                                        "aten::index_copy",
                                        "aten::index_copy_",
                                        "aten::index_add",
                                        "aten::index_add_",
                                        "aten::gather",
                                        "aten::scatter",
                                        "aten::scatter_",
                                        "aten::scatter_add",
                                        "aten::scatter_add_",
                                        "aten::embedding",
                                        "aten::embedding_dense_backward",
                                        "aten::nll_loss_forward",
                                        "aten::take",
                                        "aten::put_",
                                        "aten::searchsorted",
                                        "aten::bucketize",
                                        "aten::masked_select",
                                        "aten::native_batch_norm"};
  return *names;
}

std::optional<at::ScalarType> floating_type(const at::Tensor& t) {
  if (!t.defined() || !t.is_floating_point()) return std::nullopt;
  return t.scalar_type();
}

void check_one_dtype(const std::string& op, c10::ArrayRef<c10::IValue> arguments) {
  std::optional<at::ScalarType> first;
  for (const c10::IValue& value : arguments) {
    const auto type = value.isTensor() ? floating_type(value.toTensor()) : std::nullopt;
    if (!type) continue;
    if (first && *first != *type) {
      refuse(op, c10::str("expected operands of the same dtype, but got: ", *first, " != ", *type));
    }
    first = type;
  }
}

// Parameters, gradients and moments have one dtype and the same strides, one by one.
void check_fused_optimizer(const std::string& op, c10::ArrayRef<c10::IValue> arguments) {
  const auto parameters = arguments[0].toTensorVector();
  for (std::size_t i = 1; i < arguments.size() && i < 5 && arguments[i].isTensorList(); ++i) {
    const auto list = arguments[i].toTensorVector();
    for (std::size_t k = 0; k < list.size() && k < parameters.size(); ++k) {
      if (list[k].scalar_type() != parameters[k].scalar_type() ||
          list[k].strides() != parameters[k].strides()) {
        refuse(op, c10::str("list ", i, ", tensor ", k,
                            ": dtype or strides differ from the parameter's"));
      }
    }
  }
}

bool is_foreach(std::string_view op) { return op.starts_with("aten::_foreach_"); }
bool is_fused_optimizer(std::string_view op) { return op.starts_with("aten::_fused_ada"); }

// One launch for as many tensors as its arguments have room for; tensors of several dtypes go one
// by one.
std::uint64_t launches_of_lists(const std::string& op, c10::ArrayRef<c10::IValue> arguments) {
  std::size_t tensors = 0, lists = 0;
  Names dtypes;
  for (const c10::IValue& value : arguments) {
    if (!value.isTensorList()) continue;
    const auto list = value.toTensorVector();
    tensors = std::max(tensors, list.size());
    ++lists;
    for (const at::Tensor& t : list) dtypes.insert(c10::toString(t.scalar_type()));
  }
  if (is_foreach(op) && dtypes.size() > 1 && op != "aten::_foreach_copy_") return tensors;
  const bool writes_new_list = is_foreach(op) && !op.ends_with('_') && op != "aten::_foreach_norm";
  if (writes_new_list) ++lists;
  constexpr std::size_t kRoom[] = {110, 110, 64, 48, 36, 30};  // by the number of lists
  const std::size_t room = kRoom[std::min<std::size_t>(is_fused_optimizer(op) ? 4 : lists, 5)];
  const std::uint64_t launches = (tensors + room - 1) / room;
  return op == "aten::_foreach_norm" ? launches * 2 : launches;
}

}  // namespace

void check_operator(const c10::OperatorHandle& op) {
  const std::string& name = op.schema().name();
  if (without_cuda_kernel().contains(name) || !name.starts_with("aten::")) {
    C10_THROW_ERROR(NotImplementedError, "Could not run '" + name +
                                             "' with arguments from the 'CUDA' backend: it has no "
                                             "CUDA kernel (fake CUDA)");
  }
}

void check_dtypes(const c10::FunctionSchema& schema, c10::ArrayRef<c10::IValue> arguments) {
  const std::string& op = schema.name();
  if (is_fused_optimizer(op)) check_fused_optimizer(op, arguments);
  if (of_one_dtype().contains(op) && !schema.overload_name().starts_with("dtype")) {
    check_one_dtype(op, arguments);
  }
}

bool takes_cpu_scalar(const std::string& op, const std::string& argument) {
  if (is_fused_optimizer(op)) return argument == "lr";
  return !is_foreach(op) && !of_one_dtype().contains(op) && !with_all_on_device().contains(op);
}

bool makes_host_wait(const std::string& op) {
  static const Names* names = new Names{"aten::nonzero",
                                        "aten::masked_select",
                                        "aten::equal",
                                        "aten::_unique2",
                                        "aten::unique_dim",
                                        "aten::unique_consecutive",
                                        "aten::unique_dim_consecutive",
                                        "aten::repeat_interleave",
                                        "aten::bincount",
                                        "aten::histc",
                                        "aten::multinomial",
                                        "aten::linalg_eigh"};
  return names->contains(op);
}

std::uint64_t launches_of(const std::string& op, c10::ArrayRef<c10::IValue> arguments) {
  if (is_foreach(op) || is_fused_optimizer(op)) return launches_of_lists(op, arguments);
  if (op == "aten::cat") {
    const auto& tensors = arguments.empty() ? c10::IValue() : arguments[0];
    return tensors.isTensorList() ? (tensors.toTensorVector().size() + 127) / 128 : 1;
  }
  if (op == "aten::logsumexp") return 6;
  if (op == "aten::embedding_dense_backward") return 5;
  return 1;
}

}  // namespace fake_cuda
