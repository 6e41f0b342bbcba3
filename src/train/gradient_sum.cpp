// Gradients travel in flat buckets, all of them under way at once, and become views into the sums.
// The stop codes ride in the last one, so that agreeing on an end costs no message. A process
// without rows has no gradients: it sends zeros for all leaves, and takes away again those that no
// other process has either, because a leaf without a gradient must not change.
#include "saferclip/train/gradient_sum.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <utility>

#include "saferclip/core/transfers.h"

namespace saferclip {
namespace {

constexpr std::int64_t kBucket = std::int64_t{8} << 20;  // numbers

bool every_process_has_rows(const Batch& batch) { return batch.total_rows >= batch.share.size; }

}  // namespace

GradientSum::GradientSum(const Processes& processes,
                         const std::vector<TrainedParameter>& parameters,
                         std::vector<at::Tensor> direct)
    : processes_(processes), direct_(std::move(direct)) {
  for (const TrainedParameter& parameter : parameters) leaves_.push_back(parameter.tensor);
  std::erase_if(direct_, [](const at::Tensor& leaf) { return !leaf.defined(); });
}

std::vector<GradientSum::Bucket> GradientSum::buckets_of_gradients(bool all_have_rows) const {
  std::vector<Bucket> buckets(1);
  std::int64_t size = 0;
  for (const at::Tensor& leaf : leaves_) {
    if (all_have_rows && !leaf.grad().defined()) continue;
    if (size > 0 && size + leaf.numel() > kBucket) {
      buckets.emplace_back();
      size = 0;
    }
    buckets.back().push_back(leaf);
    size += leaf.numel();
  }
  return buckets;
}

at::Tensor GradientSum::sum(const Batch& batch, int stop_code) {
  const at::NoGradGuard guard;
  const bool all_have_rows = every_process_has_rows(batch);
  if (!processes_.is_first()) {
    for (at::Tensor& leaf : direct_) {
      if (leaf.grad().defined()) leaf.mutable_grad().zero_();
    }
  }
  const std::vector<Bucket> buckets = buckets_of_gradients(all_have_rows);
  at::Tensor riders = at::zeros({processes_.size()}, at::kFloat);
  riders[processes_.rank()] = stop_code;
  if (!all_have_rows) {
    std::vector<float> has_gradient;
    for (const at::Tensor& leaf : leaves_) has_gradient.push_back(leaf.grad().defined() ? 1 : 0);
    riders = at::cat({riders, at::tensor(has_gradient)});
  }
  std::vector<at::Tensor> flats;
  std::vector<PendingSum> pending;
  for (const Bucket& bucket : buckets) {
    std::vector<at::Tensor> parts;
    for (const at::Tensor& leaf : bucket) {
      parts.push_back(leaf.grad().defined() ? leaf.grad().reshape({-1})
                                            : at::zeros({leaf.numel()}, leaf.options()));
    }
    if (&bucket == &buckets.back()) parts.push_back(upload(riders, leaves_.front().device()));
    flats.push_back(at::cat(parts));
    pending.push_back(processes_.sum_async(flats.back()));
  }
  for (std::size_t i = 0; i < buckets.size(); ++i) {
    pending[i].wait();
    std::int64_t begin = 0;
    for (at::Tensor leaf : buckets[i]) {
      leaf.mutable_grad() = flats[i].narrow(0, begin, leaf.numel()).view(leaf.sizes());
      begin += leaf.numel();
    }
    if (i + 1 == buckets.size()) riders = flats[i].narrow(0, begin, riders.numel());
  }
  if (!all_have_rows) {
    const at::Tensor has_gradient =
        riders.narrow(0, processes_.size(), static_cast<std::int64_t>(leaves_.size())).to(at::kCPU);
    for (std::size_t i = 0; i < leaves_.size(); ++i) {
      if (has_gradient[static_cast<std::int64_t>(i)].item<float>() == 0) {
        leaves_[i].mutable_grad() = at::Tensor();
      }
    }
  }
  return riders.narrow(0, 0, processes_.size());
}

}  // namespace saferclip
