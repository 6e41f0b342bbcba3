// The objective over many rows: for micro-batches and for validation. Both cut the inputs by rows
// and divide by counts of the whole, so the losses of the blocks simply add up; validation adds
// them in double.
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "saferclip/objective/loss_set.h"

namespace saferclip {
namespace {

double sum_of(const at::Tensor& flags, std::int64_t rows) {
  return flags.defined() ? flags.to(at::kDouble).sum().item<double>() : static_cast<double>(rows);
}

std::vector<double> values_of(const at::Tensor& flags, std::int64_t rows) {
  if (!flags.defined()) return std::vector<double>(static_cast<std::size_t>(rows), 1);
  const at::Tensor on_host = flags.to(at::kCPU, at::kDouble).contiguous();
  const auto* data = on_host.const_data_ptr<double>();
  return {data, data + rows};
}

LabelCounts count_labels(const LossInputs& inputs, std::int64_t rows) {
  LabelCounts counts;
  if (!inputs.tuned.unsafe_text.defined()) return counts;
  const auto redirected = values_of(inputs.is_redirected, rows);
  const auto has_image = values_of(inputs.has_unsafe_image, rows);
  const auto captions = values_of(inputs.unsafe_caption_label, rows);
  const auto images = values_of(inputs.unsafe_image_label, rows);
  for (std::size_t i = 0; i < redirected.size(); ++i) {
    if (redirected[i] != 0) counts.add(captions[i] != 0, images[i] != 0, has_image[i] != 0);
  }
  return counts;
}

}  // namespace

LossCounts count_rows(const LossInputs& inputs) {
  const std::int64_t count = inputs.tuned.safe_text.size(0);
  const auto size_of = [](const at::Tensor& rows) {
    return rows.defined() ? static_cast<double>(rows.size(0)) : 0;
  };
  at::Tensor with_image = inputs.has_unsafe_image;
  if (with_image.defined() && inputs.is_redirected.defined()) {
    with_image = with_image * inputs.is_redirected;
  } else if (!with_image.defined()) {
    with_image = inputs.is_redirected;
  }
  LossCounts counts;
  counts.rows = static_cast<double>(count);
  counts.redirected_rows = sum_of(inputs.is_redirected, count);
  counts.redirected_rows_with_unsafe_image = sum_of(with_image, count);
  counts.anchors_text = size_of(inputs.anchor_text);
  counts.anchors_image = size_of(inputs.anchor_image);
  counts.labels = count_labels(inputs, count);
  return counts;
}

LossInputs narrow_rows(const LossInputs& inputs, std::int64_t begin, std::int64_t size) {
  const auto cut = [&](const at::Tensor& rows) {
    return rows.defined() ? rows.narrow(0, begin, size) : rows;
  };
  LossInputs part = inputs;
  const auto cut_in_place = [&](at::Tensor& tensor) { tensor = cut(tensor); };
  part.tuned.for_each(cut_in_place);
  part.for_each_of_rows(cut_in_place);
  return part;
}

MeanLosses measure_losses(const ObjectiveOptions& options, const LossInputs& rows,
                          std::int64_t block) {
  const at::NoGradGuard guard;
  LossInputs inputs = rows;
  inputs.anchor_text = inputs.anchor_image = at::Tensor();
  const std::int64_t count = inputs.tuned.safe_text.size(0);
  const LossCounts counts = count_rows(inputs);
  MeanLosses result;
  for (std::int64_t begin = 0; begin < count; begin += block) {
    const LossResult part =
        compute_losses(options, narrow_rows(inputs, begin, std::min(block, count - begin)), counts);
    result.total += part.total.item<double>();
    if (result.terms.empty()) {
      for (const LossTerm& term : part.terms) result.terms.emplace_back(term.name, 0);
    }
    for (std::size_t i = 0; i < part.terms.size(); ++i) {
      result.terms[i].second += part.terms[i].value.item<double>();
    }
  }
  return result;
}

}  // namespace saferclip
