// The copies are leaves of the graph themselves, so autograd gathers their gradients in the dtype
// of the products. They are widened to fp32 after each backward pass: micro-batches are summed in
// fp32, as without copies.
#include "saferclip/nn/compute_copies.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>

namespace saferclip {
namespace {

// The rows of `whole` that belong to each leaf, in order.
std::vector<at::Tensor> rows_of(const at::Tensor& whole, const std::vector<at::Tensor>& leaves) {
  if (leaves.size() == 1) return {whole};
  std::vector<at::Tensor> parts;
  std::int64_t row = 0;
  for (const at::Tensor& leaf : leaves) {
    parts.push_back(whole.narrow(0, row, leaf.size(0)));
    row += leaf.size(0);
  }
  return parts;
}

at::Tensor empty_copy(const std::vector<at::Tensor>& leaves, at::ScalarType compute) {
  std::vector<std::int64_t> sizes = leaves.front().sizes().vec();
  for (std::size_t i = 1; i < leaves.size(); ++i) sizes[0] += leaves[i].size(0);
  return at::empty(sizes, leaves.front().options().dtype(compute));
}

// fp32 tensors with factor · the values of `gradients`.
std::vector<at::Tensor> widened(const std::vector<at::Tensor>& gradients, double factor) {
  std::vector<at::Tensor> wide;
  wide.reserve(gradients.size());
  for (const at::Tensor& gradient : gradients) {
    wide.push_back(at::empty(gradient.sizes(), gradient.options().dtype(at::kFloat)));
  }
  at::_foreach_copy_(wide, gradients);
  if (factor != 1) at::_foreach_mul_(wide, factor);
  return wide;
}

void add_to_gradients(const std::vector<at::Tensor>& leaves, const std::vector<at::Tensor>& wide) {
  std::vector<at::Tensor> sums, addends;
  for (std::size_t i = 0; i < leaves.size(); ++i) {
    at::Tensor leaf = leaves[i];
    if (leaf.grad().defined()) {
      sums.push_back(leaf.grad());
      addends.push_back(wide[i]);
    } else {
      leaf.mutable_grad() = wide[i];
    }
  }
  if (!sums.empty()) at::_foreach_add_(sums, addends);
}

}  // namespace

ComputeCopies::ComputeCopies(const std::vector<Source>& sources, at::ScalarType compute)
    : compute_(compute) {
  for (const Source& source : sources) {
    Copy copy{empty_copy(source.leaves, compute), source.leaves, source.factor};
    const std::vector<at::Tensor> rows = rows_of(copy.tensor.detach(), source.leaves);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      by_factor_[source.factor].push_back({source.leaves[i], rows[i]});
    }
    copy.tensor.requires_grad_(true);
    of_leaf_.emplace(source.leaves.front().unsafeGetTensorImpl(), copy.tensor);
    copies_.push_back(std::move(copy));
  }
}

void ComputeCopies::refresh() {
  const at::NoGradGuard guard;
  for (const auto& [factor, parts] : by_factor_) {
    std::vector<at::Tensor> leaves, rows;
    for (const Part& part : parts) {
      leaves.push_back(part.leaf.detach());
      rows.push_back(part.copy);
    }
    at::_foreach_copy_(rows, factor == 1 ? leaves : at::_foreach_mul(leaves, factor));
  }
}

void ComputeCopies::collect(const std::vector<const Copy*>& copies) {
  const at::NoGradGuard guard;
  std::unordered_map<double, std::pair<std::vector<at::Tensor>, std::vector<at::Tensor>>> lists;
  for (const Copy* copy : copies) {
    const at::Tensor gradient = copy->tensor.grad();
    if (!gradient.defined()) continue;
    auto& [leaves, gradients] = lists[copy->factor];
    for (const at::Tensor& rows : rows_of(gradient, copy->leaves)) gradients.push_back(rows);
    leaves.insert(leaves.end(), copy->leaves.begin(), copy->leaves.end());
    copy->tensor.mutable_grad() = at::Tensor();
  }
  for (const auto& [factor, list] : lists) {
    add_to_gradients(list.first, widened(list.second, factor));
  }
}

void ComputeCopies::collect_gradients() {
  std::vector<const Copy*> all;
  for (const Copy& copy : copies_) all.push_back(&copy);
  collect(all);
}

void ComputeCopies::collect_gradients_of(const std::vector<at::Tensor>& copies) {
  std::vector<const Copy*> some;
  for (const Copy& copy : copies_) {
    const auto is_it = [&](const at::Tensor& tensor) { return tensor.is_same(copy.tensor); };
    if (std::ranges::any_of(copies, is_it)) some.push_back(&copy);
  }
  collect(some);
}

std::vector<std::pair<at::Tensor, std::vector<at::Tensor>>> ComputeCopies::copies_and_leaves()
    const {
  std::vector<std::pair<at::Tensor, std::vector<at::Tensor>>> all;
  for (const Copy& copy : copies_) all.emplace_back(copy.tensor, copy.leaves);
  return all;
}

at::Tensor ComputeCopies::read(const at::Tensor& tensor) {
  const auto copy = of_leaf_.find(tensor.unsafeGetTensorImpl());
  if (copy != of_leaf_.end()) return copy->second;
  if (tensor.scalar_type() == compute_) return tensor;
  if (tensor.requires_grad()) return tensor.to(compute_);
  const std::lock_guard lock(mutex_);
  auto& [known, cast] = frozen_[tensor.unsafeGetTensorImpl()];
  if (!known.defined()) {
    known = tensor;
    cast = tensor.to(compute_);
  }
  return cast;
}

}  // namespace saferclip
