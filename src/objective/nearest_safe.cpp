// Targets for all rows. Queries go through the pool search in chunks, between which the stop flag
// is checked; this file adds what is not a search: the own partner's cosine, and the cases in which
// a row keeps its partner.
#include "saferclip/objective/nearest_safe.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <optional>

#include "objective/pool_search.h"
#include "saferclip/core/matmul.h"

namespace saferclip {
namespace {

constexpr std::int64_t kQueryChunk = 512;

}  // namespace

NearestTargets find_nearest_safe(const at::Tensor& unsafe_text, const at::Tensor& own_text,
                                 const at::Tensor& pool, const at::Tensor& own,
                                 const TargetsOptions& options, const StopFlag* stop) {
  const at::NoGradGuard guard;
  const std::int64_t rows = unsafe_text.size(0), width = unsafe_text.size(1);
  const at::Tensor queries = unsafe_text.contiguous();
  const at::Tensor own_rows = own.contiguous();
  const at::Tensor partners = own_text.contiguous();
  // bf16 only prefilters: choice and cosine come from float64 either way.
  std::optional<PoolSearch> search;
  if (options.mode != TargetMode::kFixed) {
    search.emplace(queries, pool.contiguous(), own_rows, options,
                   multiplies_bf16_fast() ? at::kBFloat16 : at::kFloat);
  }
  NearestTargets result{at::empty({rows}, at::kLong), at::empty({rows}, at::kFloat),
                        at::empty({rows}, at::kFloat)};
  auto* index = result.index.mutable_data_ptr<std::int64_t>();
  auto* cosine = result.cosine.mutable_data_ptr<float>();
  auto* fixed = result.fixed_cosine.mutable_data_ptr<float>();
  const auto* partner = own_rows.const_data_ptr<std::int64_t>();
  for (std::int64_t begin = 0; begin < rows; begin += kQueryChunk) {
    throw_if_stopped(stop, "nearest-safe targets: interrupted; run the same command to continue");
    const std::int64_t size = std::min(kQueryChunk, rows - begin);
    const std::vector<PoolRow> best = search ? search->best_of(begin, size)
                                             : std::vector<PoolRow>(static_cast<std::size_t>(size));
    for (std::int64_t i = 0; i < size; ++i) {
      const std::int64_t row = begin + i;
      const PoolRow& found = best[static_cast<std::size_t>(i)];
      const double to_partner =
          exact_product(queries.const_data_ptr<float>() + row * width,
                        partners.const_data_ptr<float>() + row * width, width);
      const bool keeps_partner =
          found.index < 0 || (options.min_similarity && found.cosine < *options.min_similarity);
      index[row] = keeps_partner ? partner[row] : found.index;
      cosine[row] = static_cast<float>(keeps_partner ? to_partner : found.cosine);
      fixed[row] = static_cast<float>(to_partner);
    }
  }
  return result;
}

}  // namespace saferclip
