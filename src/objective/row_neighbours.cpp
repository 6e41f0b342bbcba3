// All N² cosines are computed, a block of rows at a time; only those above the threshold are kept.
// Rows of a block are searched side by side, each alone, so that the result does not depend on how
// many threads there are.
#include "saferclip/objective/row_neighbours.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <map>
#include <vector>

namespace saferclip {
namespace {

constexpr std::int64_t kRowsOfBlock = 256;
constexpr double kRoundingOfOne = 1e-6;  // of the cosine of equal rows

void keep_nearest(const float* cosines, std::int64_t count, std::int64_t self, double least,
                  std::int64_t k, std::int64_t* found) {
  std::vector<std::int64_t> near;
  for (std::int64_t j = 0; j < count; ++j) {
    if (static_cast<double>(cosines[j]) >= least && j != self) near.push_back(j);
  }
  const auto kept = std::min(k, static_cast<std::int64_t>(near.size()));
  std::partial_sort(near.begin(), near.begin() + kept, near.end(), [cosines](auto a, auto b) {
    return cosines[a] > cosines[b] || (cosines[a] == cosines[b] && a < b);
  });
  std::copy_n(near.begin(), kept, found);
}

}  // namespace

at::Tensor rows_above(const at::Tensor& rows, std::int64_t k, double threshold,
                      const StopFlag* stop) {
  const at::NoGradGuard guard;
  const std::int64_t count = rows.size(0);
  at::Tensor found = at::full({count, k}, -1, at::kLong);
  auto* data = found.mutable_data_ptr<std::int64_t>();
  for (std::int64_t begin = 0; begin < count; begin += kRowsOfBlock) {
    throw_if_stopped(stop, "interrupted while searching neighbors");
    const std::int64_t size = std::min(kRowsOfBlock, count - begin);
    const at::Tensor cosines = at::mm(rows.narrow(0, begin, size), rows.t()).contiguous();
    const auto* values = cosines.const_data_ptr<float>();
    at::parallel_for(0, size, 16, [&](std::int64_t first, std::int64_t last) {
      for (std::int64_t i = first; i < last; ++i) {
        keep_nearest(values + i * count, count, begin + i, threshold - kRoundingOfOne, k,
                     data + (begin + i) * k);
      }
    });
  }
  return found;
}

at::Tensor rows_of_group(const at::Tensor& group, std::int64_t k) {
  const at::Tensor groups = group.contiguous();
  const auto* value = groups.const_data_ptr<std::int64_t>();
  std::map<std::int64_t, std::vector<std::int64_t>> members;
  for (std::int64_t i = 0; i < groups.size(0); ++i) members[value[i]].push_back(i);
  at::Tensor found = at::full({groups.size(0), k}, -1, at::kLong);
  auto* data = found.mutable_data_ptr<std::int64_t>();
  for (const auto& [key, rows] : members) {
    const std::size_t others = std::min(static_cast<std::size_t>(k), rows.size() - 1);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      for (std::size_t n = 0; n < others; ++n) {
        data[rows[i] * k + static_cast<std::int64_t>(n)] = rows[(i + 1 + n) % rows.size()];
      }
    }
  }
  return found;
}

}  // namespace saferclip
