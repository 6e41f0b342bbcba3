#include "saferclip/objective/nearest_safe.h"

#include <ATen/ATen.h>

#include <string_view>
#include <unordered_map>
#include <vector>

#include "saferclip/core/matmul.h"

namespace saferclip {
namespace {

constexpr std::int64_t kQueryChunk = 256;
constexpr std::int64_t kPoolChunk = 16384;
constexpr float kTieMargin = 1e-5F;  // well above the rounding of an fp32 dot product of unit rows

double exact_cosine(const float* a, const float* b, std::int64_t width) {
  double dot = 0;
  for (std::int64_t i = 0; i < width; ++i)
    dot += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return dot;
}

// Pool rows that may be chosen: all, or the first of equal ones.
std::vector<bool> first_of_equal(const at::Tensor& pool) {
  std::unordered_map<std::string_view, std::int64_t> seen;
  std::vector<bool> is_first;
  const auto* data = static_cast<const char*>(pool.const_data_ptr());
  const std::size_t bytes = pool.size(0) == 0 ? 0 : pool[0].nbytes();
  for (std::int64_t j = 0; j < pool.size(0); ++j) {
    is_first.push_back(
        seen.emplace(std::string_view(data + static_cast<std::size_t>(j) * bytes, bytes), j)
            .second);
  }
  return is_first;
}

struct Best {
  std::int64_t index = -1;
  double cosine = -2;
};

class Search {
 public:
  Search(const at::Tensor& queries, const at::Tensor& pool, const at::Tensor& own,
         const TargetsOptions& options)
      : queries_(queries.contiguous()),
        pool_(pool.contiguous()),
        own_(own.contiguous()),
        options_(options) {
    if (options.dedup) is_first_ = first_of_equal(pool_);
  }

  // Best pool rows of queries [begin, begin + size).
  std::vector<Best> chunk(std::int64_t begin, std::int64_t size) const {
    std::vector<Best> best(static_cast<std::size_t>(size));
    std::vector<float> highest(static_cast<std::size_t>(size), -2.0F);
    const at::Tensor rows = queries_.narrow(0, begin, size);
    for (std::int64_t first = 0; first < pool_.size(0); first += kPoolChunk) {
      const std::int64_t count = std::min(kPoolChunk, pool_.size(0) - first);
      const at::Tensor scores = linear_product(rows, pool_.narrow(0, first, count));
      const auto* data = scores.const_data_ptr<float>();
      for (std::int64_t i = 0; i < size; ++i) {
        scan(begin + i, first, data + i * count, count, highest[static_cast<std::size_t>(i)],
             best[static_cast<std::size_t>(i)]);
      }
    }
    return best;
  }

  // Of a query with a row of the pool, or with a row of another tensor.
  double cosine(std::int64_t query, std::int64_t row) const { return cosine(query, pool_, row); }
  double cosine(std::int64_t query, const at::Tensor& rows, std::int64_t row) const {
    const std::int64_t width = rows.size(1);
    return exact_cosine(queries_.const_data_ptr<float>() + query * width,
                        rows.const_data_ptr<float>() + row * width, width);
  }

 private:
  bool may_choose(std::int64_t query, std::int64_t row) const {
    if (!is_first_.empty() && !is_first_[static_cast<std::size_t>(row)]) return false;
    return options_.allow_self || own_.const_data_ptr<std::int64_t>()[query] != row;
  }

  // Ascending indices and a strict comparison in float64: the lowest index of equals stays.
  void scan(std::int64_t query, std::int64_t first, const float* scores, std::int64_t count,
            float& highest, Best& best) const {
    for (std::int64_t j = 0; j < count; ++j) {
      if (scores[j] < highest - kTieMargin || !may_choose(query, first + j)) continue;
      highest = std::max(highest, scores[j]);
      const double exact = cosine(query, first + j);
      if (exact > best.cosine) best = {first + j, exact};
    }
  }

  at::Tensor queries_;
  at::Tensor pool_;
  at::Tensor own_;
  const TargetsOptions& options_;
  std::vector<bool> is_first_;
};

}  // namespace

NearestTargets find_nearest_safe(const at::Tensor& unsafe_text, const at::Tensor& own_text,
                                 const at::Tensor& pool, const at::Tensor& own,
                                 const TargetsOptions& options) {
  const at::NoGradGuard guard;
  const std::int64_t rows = unsafe_text.size(0);
  const Search search(unsafe_text, pool, own, options);
  NearestTargets result{at::empty({rows}, at::kLong), at::empty({rows}, at::kFloat),
                        at::empty({rows}, at::kFloat)};
  auto* index = result.index.mutable_data_ptr<std::int64_t>();
  auto* cosine = result.cosine.mutable_data_ptr<float>();
  auto* fixed = result.fixed_cosine.mutable_data_ptr<float>();
  const at::Tensor own_rows = own.contiguous();
  const at::Tensor partners = own_text.contiguous();
  const auto* partner = own_rows.const_data_ptr<std::int64_t>();
  for (std::int64_t begin = 0; begin < rows; begin += kQueryChunk) {
    const std::int64_t size = std::min(kQueryChunk, rows - begin);
    const std::vector<Best> best = options.mode == "fixed"
                                       ? std::vector<Best>(static_cast<std::size_t>(size))
                                       : search.chunk(begin, size);
    for (std::int64_t i = 0; i < size; ++i) {
      const std::int64_t row = begin + i;
      const Best& found = best[static_cast<std::size_t>(i)];
      const double to_partner = search.cosine(row, partners, row);
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
