// Sentences about a split's captions and pictures, for the log.
#include "prepare/split_notes.h"

#include <ATen/ATen.h>

#include <set>

#include "saferclip/core/text_format.h"

namespace saferclip {
namespace {

constexpr std::size_t kNamedRows = 10;

}  // namespace

std::vector<std::string> caption_problems(const SplitData& split, const TokenCache& tokens,
                                          const at::Tensor& safe_cut,
                                          const at::Tensor& unsafe_cut) {
  std::vector<std::string> problems;
  const at::Tensor none = at::zeros_like(safe_cut);
  const at::Tensor unsafe = unsafe_cut.defined() ? unsafe_cut : none;
  const auto count = [](const at::Tensor& flags) {
    return with_commas(flags.sum().item<std::int64_t>());
  };
  const at::Tensor any_cut = safe_cut.logical_or(unsafe);
  if (any_cut.any().item<bool>()) {
    problems.push_back(cat(split.name, ": captions longer than the context of ",
                           tokens.safe.size(1), " tokens are truncated: ", count(safe_cut),
                           " safe, ", count(unsafe), " unsafe, in ", count(any_cut), " rows"));
  }
  if (!tokens.unsafe.defined()) return problems;
  std::vector<std::string> same;
  const at::Tensor is_same = tokens.safe.eq(tokens.unsafe).all(1);
  for (const std::int64_t row : split.good_rows) {
    if (is_same[row].item<bool>()) {
      same.push_back(split.manifest.rows[static_cast<std::size_t>(row)].id);
    }
  }
  if (!same.empty()) {
    problems.push_back(
        cat(split.name, ": the safe and unsafe captions have the same tokens in ",
            with_commas(static_cast<std::int64_t>(same.size())),
            " rows, which add nothing to training: ", join(shortened(same, kNamedRows), ", ")));
  }
  return problems;
}

std::string rows_and_pictures(const SplitData& split) {
  std::set<std::int64_t> pictures;
  for (const std::int64_t row : split.good_rows) {
    pictures.insert(split.images.safe_picture[static_cast<std::size_t>(row)]);
  }
  std::string text = with_commas(static_cast<std::int64_t>(split.good_rows.size())) + " rows";
  if (pictures.size() < split.good_rows.size()) {
    text += cat(" that share ", with_commas(static_cast<std::int64_t>(pictures.size())),
                " safe images");
  }
  return text;
}

}  // namespace saferclip
