// The kernel of every operator that has none of its own. Unlike LibTorch's cpu_fallback it copies
// no operand: a tensor on the CPU or on another device is an error here as it is on a card, and an
// operator that writes its operand writes device memory. Results are moved to the device, or are
// the operand that the schema says they alias.
#include "kernels.h"

#include <ATen/EmptyTensor.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_strided.h>
#include <ATen/ops/from_blob.h>
#include <c10/core/DeviceGuard.h>

#include "counts.h"
#include "device.h"
#include "memory.h"

namespace fake_cuda {
namespace {

// One call: its operands as the CPU's kernel takes them.
class Call {
 public:
  Call(const c10::OperatorHandle& op, torch::jit::Stack* stack)
      : schema_(op.schema()),
        name_(schema_.name()),
        given_(stack->end() - static_cast<std::ptrdiff_t>(schema_.arguments().size()),
               stack->end()) {
    torch::jit::drop(*stack, given_.size());
  }

  void run(const c10::OperatorHandle& op, torch::jit::Stack* stack);

 private:
  const c10::Argument& argument(std::size_t i) const { return schema_.arguments()[i]; }
  bool is_written(std::size_t i) const {
    const c10::AliasInfo* alias = argument(i).alias_info();
    return alias != nullptr && alias->isWrite();
  }
  std::string full_name() const {
    return schema_.overload_name().empty() ? name_ : name_ + "." + schema_.overload_name();
  }
  at::Tensor convert(const at::Tensor& t, std::size_t i, bool is_in_list);
  c10::IValue convert_indices(const c10::IValue& value, std::size_t i);
  c10::IValue convert(const c10::IValue& value, std::size_t i);
  void see_device(c10::DeviceIndex index);
  void draw_on_device(torch::jit::Stack& inner) const;
  void host_waits(Counter counter, const std::string& why) const;
  void begin();
  void return_results(const torch::jit::Stack& results, torch::jit::Stack* stack) const;
  void report_writes() const;
  void write_back(std::size_t i, const at::Tensor& made) const;
  c10::IValue moved(const c10::IValue& value) const;

  const c10::FunctionSchema& schema_;
  const std::string& name_;
  torch::jit::Stack given_;
  Views views_;
  c10::DeviceIndex index_ = -1;
};

void Call::see_device(c10::DeviceIndex index) {
  if (index_ >= 0 && index != index_) {
    refuse(name_, c10::str("expected all tensors to be on the same device, but found cuda:",
                           static_cast<int>(index_), " and cuda:", static_cast<int>(index)));
  }
  index_ = index;
}

at::Tensor Call::convert(const at::Tensor& t, std::size_t i, bool is_in_list) {
  if (!t.defined()) return t;
  if (is_on_device(t)) {
    see_device(t.device().index());
    return views_.of(t);
  }
  const bool is_scalar = t.is_cpu() && t.dim() == 0;
  if (!is_scalar || is_in_list || is_written(i) || !takes_cpu_scalar(name_, argument(i).name())) {
    refuse(name_, c10::str("expected all tensors to be on the same device, but argument '",
                           argument(i).name(), "' of size ", t.sizes(), " is on ", t.device()));
  }
  return t;
}

// CUDA moves indices from the CPU itself, and counts the true ones of a mask; the host waits for
// either. aten::index does so before its kernel, by operators that come by here themselves.
c10::IValue Call::convert_indices(const c10::IValue& value, std::size_t i) {
  const bool is_put = name_ == "aten::_index_put_impl_";
  const bool is_fill = is_put && given_[2].toTensor().is_cpu() && given_[2].toTensor().numel() == 1;
  c10::List<std::optional<at::Tensor>> converted;
  for (const std::optional<at::Tensor>& index : value.toOptionalTensorVector()) {
    if (!index || !index->defined()) {
      converted.push_back(index);
      continue;
    }
    const bool is_mask = index->scalar_type() == at::kBool || index->scalar_type() == at::kByte;
    if (is_put && index->is_cpu()) {
      host_waits(Counter::kWaitingUploads, " (an index on the CPU)");
    } else if (is_put && is_mask && !is_fill) {
      host_waits(Counter::kOtherWaits, " (a boolean index)");
    } else if (is_put && !is_mask && given_[2].toTensor().is_cpu()) {
      host_waits(Counter::kWaitingUploads, " (a value on the CPU)");
    }
    converted.push_back(index->is_cpu() ? *index : convert(*index, i, true));
  }
  return converted;
}

c10::IValue Call::convert(const c10::IValue& value, std::size_t i) {
  if (value.isTensor()) return convert(value.toTensor(), i, false);
  if (value.isTensorList()) {
    c10::List<at::Tensor> list;
    for (const at::Tensor& t : value.toTensorVector()) list.push_back(convert(t, i, true));
    return list;
  }
  if (value.isOptionalTensorList()) return convert_indices(value, i);
  if (value.isDevice() && value.toDevice().type() == kType) {
    const c10::DeviceIndex index = value.toDevice().index();
    see_device(index < 0 ? current_device() : index);
    return c10::Device(c10::DeviceType::CPU);
  }
  return value;
}

// Numbers are drawn by the device's generator, also where the call names none.
void Call::draw_on_device(torch::jit::Stack& inner) const {
  for (std::size_t i = 0; i < given_.size(); ++i) {
    if (argument(i).type()->str().find("Generator") == std::string::npos) continue;
    if (given_[i].isNone()) {
      inner[i] = drawing_generator(default_generator(index_));
      continue;
    }
    const at::Generator generator = given_[i].toGenerator();
    if (generator.device().type() != kType) {
      refuse(name_, "expected a 'cuda' device type for generator but found 'cpu'");
    }
    inner[i] = drawing_generator(generator);
  }
}

void Call::host_waits(Counter counter, const std::string& why) const {
  add_wait(counter, full_name() + why);
  Transfers::get().wait_for_stream(current_stream(index_));
}

void Call::begin() {
  begin_kernel(full_name(), launches_of(name_, given_));
  if (makes_host_wait(name_)) host_waits(Counter::kOtherWaits, "");
}

// An output that was given empty is resized by the kernel: its view had memory of its own.
void Call::write_back(std::size_t i, const at::Tensor& made) const {
  at::Tensor target = given_[i].toTensor();
  if (target.numel() > 0 || made.sizes() == target.sizes()) return;
  target.resize_(made.sizes());
  if (made.numel() > 0) view_of(target).copy_(made);
}

c10::IValue Call::moved(const c10::IValue& value) const {
  if (value.isTensor() && value.toTensor().defined()) return to_device(value.toTensor(), index_);
  if (!value.isTensorList()) return value;
  c10::List<at::Tensor> list;
  for (const at::Tensor& t : value.toTensorVector()) {
    list.push_back(t.defined() ? to_device(t, index_) : t);
  }
  return list;
}

void Call::return_results(const torch::jit::Stack& results, torch::jit::Stack* stack) const {
  for (std::size_t r = 0; r < schema_.returns().size(); ++r) {
    const c10::AliasInfo* alias = schema_.returns()[r].alias_info();
    std::size_t same = given_.size();
    for (std::size_t i = 0; alias != nullptr && i < given_.size(); ++i) {
      const c10::AliasInfo* own = argument(i).alias_info();
      if (own != nullptr && own->beforeSets() == alias->beforeSets()) same = std::min(same, i);
    }
    if (same == given_.size()) {
      torch::jit::push(*stack, moved(results[r]));
      continue;
    }
    if (!alias->isWrite()) refuse(full_name(), "makes a view: tests/gpu/fake_cuda must learn it");
    torch::jit::push(*stack, given_[same]);
  }
}

void Call::report_writes() const {
  const auto report = [&](const at::Tensor& t) {
    if (!is_on_device(t) || t.numel() == 0) return;
    const at::Storage& storage = t.storage();
    Transfers::get().wrote(Memory::get().for_kernels(storage.data()), storage.nbytes(),
                           current_stream(t.device().index()));
  };
  for (std::size_t i = 0; i < given_.size(); ++i) {
    if (!is_written(i)) continue;
    if (given_[i].isTensor()) report(given_[i].toTensor());
    if (!given_[i].isTensorList()) continue;
    for (const at::Tensor& t : given_[i].toTensorVector()) report(t);
  }
}

void Call::run(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  check_dtypes(schema_, given_);
  torch::jit::Stack inner;
  for (std::size_t i = 0; i < given_.size(); ++i) inner.push_back(convert(given_[i], i));
  if (index_ < 0) index_ = current_device();
  draw_on_device(inner);
  begin();
  const torch::jit::Stack operands = inner;
  {
    const at::AutoDispatchBelowADInplaceOrView guard;
    op.callBoxed(&inner);
  }
  for (std::size_t i = 0; i < given_.size(); ++i) {
    if (is_written(i) && given_[i].isTensor() && given_[i].toTensor().defined()) {
      write_back(i, operands[i].toTensor());
    }
  }
  report_writes();
  return_results(inner, stack);
}

}  // namespace

bool is_on_device(const at::Tensor& t) { return t.defined() && t.device().type() == kType; }

at::Tensor Views::of(const at::Tensor& t) {
  const auto options = at::TensorOptions().dtype(t.scalar_type()).device(at::kCPU);
  if (t.numel() == 0) return at::empty_strided(t.sizes(), t.strides(), options);
  c10::StorageImpl* storage = t.storage().unsafeGetStorageImpl();
  const auto bytes = static_cast<std::int64_t>(storage->nbytes());
  const char* base = Memory::get().for_kernels(storage->data());
  at::Storage own;
  for (const auto& [known, view] : storages_) {
    if (known == storage) own = view;
  }
  if (!own) {
    Transfers::get().arrive(base, storage->nbytes(), current_stream(t.device().index()));
    own = at::from_blob(const_cast<char*>(base), {bytes}, at::TensorOptions().dtype(at::kByte))
              .storage();
    storages_.emplace_back(storage, own);
  }
  const at::AutoDispatchBelowADInplaceOrView guard;
  return at::empty({0}, options).set_(own, t.storage_offset(), t.sizes(), t.strides());
}

at::Tensor view_of(const at::Tensor& t) { return Views().of(t); }

at::Tensor to_device(const at::Tensor& cpu, c10::DeviceIndex index) {
  const c10::DeviceGuard guard(c10::Device(kType, index));
  at::Tensor out = at::detail::empty_strided_generic(cpu.sizes(), cpu.strides(), device_allocator(),
                                                     c10::DispatchKeySet(c10::DispatchKey::CUDA),
                                                     cpu.scalar_type());
  const at::AutoDispatchBelowADInplaceOrView below;
  if (cpu.numel() == 0) return out;
  view_of(out).copy_(cpu);
  Transfers::get().wrote(Memory::get().for_kernels(out.storage().data()), out.storage().nbytes(),
                         current_stream(index));
  return out;
}

void refuse(std::string_view op, const std::string& why) {
  TORCH_CHECK(false, "fake CUDA: ", op, ": ", why);
  std::abort();  // not reached
}

void run_on_cpu(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  check_operator(op);
  Call(op, stack).run(op, stack);
}

}  // namespace fake_cuda
