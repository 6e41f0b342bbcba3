// A GPU step's numbers are packed into one tensor and copied to pinned memory without blocking. An
// event on the stream marks the end of that copy, so take() waits for it and not for later work. On
// a CPU the packed tensor is read as it is.
#include "train/delayed_metrics.h"

#include <ATen/ATen.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <utility>

namespace saferclip {

void DelayedMetrics::put(StepLine line, const StepNumbers& numbers) {
  std::vector<at::Tensor> values{numbers.loss.to(at::kFloat), numbers.grad_norm.to(at::kFloat)};
  has_scale_ = numbers.loss_scale.defined();
  if (has_scale_) values.insert(values.end(), {numbers.loss_scale, numbers.is_skipped});
  has_masks_ = numbers.masked_fraction.defined();
  if (has_masks_) values.push_back(numbers.masked_fraction.to(at::kFloat));
  requests_ = numbers.requests.defined() ? numbers.requests.numel() : 0;
  names_.clear();
  for (const auto& [name, value] : numbers.terms) {
    names_.push_back(name);
    values.push_back(value.to(at::kFloat));
  }
  at::Tensor packed = at::stack(values);
  if (requests_ > 0) packed = at::cat({packed, numbers.requests});
  line_ = std::move(line);
  copied_.reset();
  if (packed.is_cpu()) {
    host_ = packed;
    return;
  }
  host_ = at::empty(packed.sizes(), at::TensorOptions().dtype(at::kFloat).pinned_memory(true));
  host_.copy_(packed, /*non_blocking=*/true);
  copied_ = std::make_unique<c10::Event>(packed.device().type());
  copied_->record(c10::impl::VirtualGuardImpl(packed.device().type()).getStream(packed.device()));
}

std::optional<StepLine> DelayedMetrics::take() {
  if (!line_) return std::nullopt;
  if (copied_) copied_->synchronize();
  const auto* values = host_.const_data_ptr<float>();
  StepLine line = std::move(*line_);
  line_.reset();
  line.loss = values[0];
  line.grad_norm = values[1];
  values += 2;
  if (has_scale_) {
    line.loss_scale = values[0];
    line.is_skipped = values[1] != 0;
    values += 2;
  }
  if (has_masks_) line.masked_fraction = *values++;
  for (std::size_t i = 0; i < names_.size(); ++i) {
    line.terms.emplace_back(names_[i], static_cast<double>(values[i]));
  }
  values += names_.size();
  for (std::int64_t i = 0; i < requests_; ++i) {
    const StepRequest request = StepRequest::of(static_cast<int>(values[i]));
    if (line.stop_code == 0) line.stop_code = request.stop_code;
    line.asks_save = line.asks_save || request.is_save;
  }
  return line;
}

}  // namespace saferclip
