// Gradients travel in flat buckets and become views into the sums. A bucket starts when all of its
// leaves have their gradient and the buckets before it have started, so all processes send in the
// same order; leaves are in the order in which the backward pass completes them. Hooks of autograd
// tell which are complete. c10d's own Reducer would do the same for leaves, but its gradients must
// come from one graph in the leaves' own dtype: here copies in half precision have gradients for
// several leaves, a gradient cache runs several passes, and of the token embedding only some rows
// travel. The last bucket has the codes too, so that agreeing on an end costs no message. A process
// without rows has no gradients: it sends zeros for all leaves, and takes away again those that no
// other process has either, because a leaf without a gradient must not change.
#include "saferclip/train/gradient_sum.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/variable.h>

#include <algorithm>
#include <functional>
#include <mutex>
#include <utility>

#include "saferclip/core/error.h"
#include "saferclip/core/transfers.h"

namespace saferclip {
namespace {

// Leaves whose gradients become complete together: one leaf, or those of a copy.
struct Unit {
  at::Tensor hooked;  // its gradient is complete
  bool is_copy = false;
  std::vector<std::size_t> leaves;
};

struct Bucket {
  std::vector<std::size_t> units;
  std::size_t missing = 0;
  at::Tensor flat;
  PendingSum pending;
};

// The projections, then the text tower, then the vision tower, each from its end to its start: the
// backward pass undoes last what was done first.
std::vector<std::size_t> backward_order(const std::vector<TrainedParameter>& parameters) {
  const auto place = [&](std::size_t i) {
    const std::string& name = parameters[i].parts.front().name;
    if (name.find("vision_model.") != std::string::npos) return 2;
    return name.find("text_model.") != std::string::npos ? 1 : 0;
  };
  std::vector<std::size_t> order;
  for (std::size_t i = parameters.size(); i-- > 0;) order.push_back(i);
  std::ranges::stable_sort(order, {}, place);
  return order;
}

bool is_among(const at::Tensor& tensor, const std::vector<at::Tensor>& tensors) {
  return std::ranges::any_of(tensors, [&](const at::Tensor& t) { return t.is_same(tensor); });
}

}  // namespace

struct GradientSum::State {
  State(const Processes& all, const Leaves& given)
      : processes(all),
        direct(given.direct),
        token_embedding(given.token_embedding),
        copies(given.copies) {
    for (const TrainedParameter& parameter : given.parameters) leaves.push_back(parameter.tensor);
    had_gradient.resize(leaves.size());
    std::erase_if(direct, [](const at::Tensor& leaf) { return !leaf.defined(); });
    make_units(given);
    make_buckets(given.bucket);
  }

  void make_units(const Leaves& given) {
    std::vector<std::pair<at::Tensor, std::vector<at::Tensor>>> stacked;
    if (copies != nullptr) stacked = copies->copies_and_leaves();
    std::vector<bool> is_done(leaves.size(), false);
    const auto take = [&](Unit& unit, std::size_t i) {
      unit.leaves.push_back(i);
      is_done[i] = true;
    };
    for (const std::size_t i : backward_order(given.parameters)) {
      if (is_done[i]) continue;
      const auto copy = std::ranges::find_if(
          stacked, [&](const auto& pair) { return is_among(leaves[i], pair.second); });
      Unit unit{leaves[i], false, {}};
      if (copy == stacked.end()) {
        take(unit, i);
      } else {
        unit.hooked = copy->first;
        unit.is_copy = true;
        for (std::size_t j = 0; j < leaves.size(); ++j) {
          if (is_among(leaves[j], copy->second)) take(unit, j);
        }
      }
      units.push_back(std::move(unit));
    }
  }

  void make_buckets(std::int64_t most) {
    buckets.emplace_back();
    std::int64_t size = 0;
    for (std::size_t u = 0; u < units.size(); ++u) {
      std::int64_t numbers = 0;
      for (const std::size_t i : units[u].leaves) numbers += leaves[i].numel();
      if (size > 0 && size + numbers > most) {
        buckets.emplace_back();
        size = 0;
      }
      size += numbers;
      bucket_of.push_back(buckets.size() - 1);
      buckets.back().units.push_back(u);
    }
  }

  bool is_sparse(const at::Tensor& leaf) const {
    return leaf.is_same(token_embedding) && batch->used_ids.defined();
  }

  // What is sent for a leaf; an undefined gradient goes as zeros.
  at::Tensor part_of(const at::Tensor& leaf) const {
    const at::Tensor& gradient = leaf.grad();
    const bool counts = gradient.defined() && (processes.is_first() || !is_among(leaf, direct));
    if (!is_sparse(leaf)) {
      return counts ? gradient.reshape({-1}) : at::zeros({leaf.numel()}, leaf.options());
    }
    return counts ? gradient.index_select(0, batch->used_ids).reshape({-1})
                  : at::zeros({batch->used_ids.size(0) * leaf.size(1)}, leaf.options());
  }

  template <class Use>
  void for_each_leaf(const Bucket& bucket, const Use& use) {
    for (const std::size_t u : bucket.units) {
      for (const std::size_t i : units[u].leaves) use(i);
    }
  }

  void start(Bucket& bucket, const at::Tensor& riders = {}) {
    const at::NoGradGuard guard;
    std::vector<at::Tensor> stacked, parts;
    for (const std::size_t u : bucket.units) {
      if (units[u].is_copy) stacked.push_back(units[u].hooked);
    }
    if (!stacked.empty()) copies->collect_gradients_of(stacked);
    for_each_leaf(bucket, [&](std::size_t i) {
      parts.push_back(part_of(leaves[i]));
      had_gradient[i] = leaves[i].grad().defined();
    });
    if (riders.defined()) parts.push_back(riders);
    bucket.flat = at::cat(parts);
    // The sum takes its place.
    for_each_leaf(bucket, [&](std::size_t i) {
      if (!is_sparse(leaves[i])) leaves[i].mutable_grad() = at::Tensor();
    });
    bucket.pending = processes.sum_async(bucket.flat);
    ++started;
  }

  // Called by autograd, also from other threads: recomputed blocks have their own.
  void on_complete(std::size_t unit) {
    const std::lock_guard lock(mutex);
    if (batch == nullptr) return;
    Bucket& bucket = buckets[bucket_of[unit]];
    if (bucket.missing == 0 || bucket.flat.defined()) {
      throw Error("a gradient changed after it was complete; this is a bug, please report it", 1);
    }
    --bucket.missing;
    // The last one waits for the codes.
    while (started + 1 < buckets.size() && buckets[started].missing == 0) start(buckets[started]);
  }

  // Puts a summed part back. A leaf that no process has a gradient for stays without.
  void put(at::Tensor& leaf, const at::Tensor& sum) const {
    if (!is_sparse(leaf)) {
      leaf.mutable_grad() = sum.view(leaf.sizes());
      return;
    }
    if (!leaf.grad().defined()) leaf.mutable_grad() = at::zeros_like(leaf);
    leaf.mutable_grad().index_copy_(0, batch->used_ids, sum.view({-1, leaf.size(1)}));
  }

  // Returns what follows the gradients in the last bucket.
  at::Tensor finish_bucket(Bucket& bucket, bool all_have_rows) {
    bucket.pending.wait();
    std::int64_t begin = 0;
    for_each_leaf(bucket, [&](std::size_t i) {
      at::Tensor& leaf = leaves[i];
      const std::int64_t size =
          is_sparse(leaf) ? batch->used_ids.size(0) * leaf.size(1) : leaf.numel();
      // Where all have rows, what has no gradient here has none anywhere.
      if (!all_have_rows || had_gradient[i]) put(leaf, bucket.flat.narrow(0, begin, size));
      begin += size;
    });
    const at::Tensor rest = bucket.flat.narrow(0, begin, bucket.flat.size(0) - begin);
    bucket.flat = at::Tensor();
    return rest;
  }

  Processes processes;
  std::vector<at::Tensor> leaves;
  std::vector<at::Tensor> direct;
  at::Tensor token_embedding;
  ComputeCopies* copies;
  std::vector<Unit> units;
  std::vector<Bucket> buckets;
  std::vector<std::size_t> bucket_of;  // of each unit
  std::vector<bool> had_gradient;      // each leaf, when its bucket started
  std::size_t started = 0;
  const Batch* batch = nullptr;  // between begin() and finish()
  std::mutex mutex;
};

namespace {

class CompleteHook : public torch::autograd::PostAccumulateGradHook {
 public:
  explicit CompleteHook(std::function<void()> act) : act_(std::move(act)) {}
  void operator()(const torch::autograd::Variable&) override { act_(); }

 private:
  std::function<void()> act_;
};

}  // namespace

GradientSum::GradientSum(const Processes& processes, const Leaves& leaves)
    : state_(std::make_unique<State>(processes, leaves)) {
  for (std::size_t u = 0; u < state_->units.size(); ++u) {
    torch::autograd::impl::set_post_acc_grad_hooks(
        state_->units[u].hooked,
        std::make_unique<CompleteHook>([state = state_.get(), u] { state->on_complete(u); }));
  }
}

GradientSum::~GradientSum() {
  for (const Unit& unit : state_->units) {
    torch::autograd::impl::set_post_acc_grad_hooks(unit.hooked, nullptr);
  }
}

void GradientSum::begin(const Batch& batch) {
  const std::lock_guard lock(state_->mutex);
  state_->started = 0;
  for (Bucket& bucket : state_->buckets) bucket.missing = bucket.units.size();
  state_->batch = &batch;
}

at::Tensor GradientSum::finish(int code) {
  State& s = *state_;
  const at::NoGradGuard guard;
  const std::lock_guard lock(s.mutex);
  const bool all_have_rows = s.batch->total_rows >= s.batch->share.size;
  while (s.started + 1 < s.buckets.size()) s.start(s.buckets[s.started]);
  at::Tensor riders = at::zeros({s.processes.size()}, at::kFloat);
  riders[s.processes.rank()] = code;
  if (!all_have_rows) {
    s.for_each_leaf(s.buckets.back(),
                    [&](std::size_t i) { s.had_gradient[i] = s.leaves[i].grad().defined(); });
    riders = at::cat(
        {riders, at::tensor(std::vector<float>(s.had_gradient.begin(), s.had_gradient.end()))});
  }
  s.start(s.buckets.back(), upload(riders, s.leaves.front().device()));
  for (Bucket& bucket : s.buckets) riders = s.finish_bucket(bucket, all_have_rows);
  if (!all_have_rows) {
    const at::Tensor has_gradient =
        riders.narrow(0, s.processes.size(), static_cast<std::int64_t>(s.leaves.size()))
            .to(at::kCPU);
    for (std::size_t i = 0; i < s.leaves.size(); ++i) {
      if (has_gradient[static_cast<std::int64_t>(i)].item<float>() == 0) {
        s.leaves[i].mutable_grad() = at::Tensor();
      }
    }
  }
  s.batch = nullptr;
  return riders.narrow(0, 0, s.processes.size());
}

}  // namespace saferclip
