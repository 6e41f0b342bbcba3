#include "saferclip/eval/retrieval.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "eval/score_tiles.h"

namespace saferclip {
namespace {

constexpr std::int64_t kScoreBudget = 4'000'000;  // scores kept at a time by top_items: 16 MB

using Outcomes = std::vector<QueryOutcome>;

// Counts of one task while the parts of its gallery are walked.
class Task {
 public:
  Task(const at::Tensor& relevant, std::int64_t items)
      : relevant_(relevant),
        items_(items),
        before_(static_cast<std::size_t>(relevant.size(0))),
        equal_(before_.size()) {}

  RankCount part(bool is_relevant_here) {
    return {relevant_.const_data_ptr<float>(), is_relevant_here, before_.data(), equal_.data()};
  }

  // `best_safe` and `best_unsafe`: highest scores in the two halves of a union gallery, or null.
  void append_to(Outcomes& outcomes, const std::vector<std::int64_t>& rows, const float* best_safe,
                 const float* best_unsafe) const {
    const auto* score = relevant_.const_data_ptr<float>();
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const bool is_top_unsafe = best_unsafe != nullptr && !(best_unsafe[i] <= best_safe[i]);
      outcomes.push_back(
          {rows[i], std::isnan(score[i]) ? items_ : 1 + before_[i], equal_[i] > 0, is_top_unsafe});
    }
  }

 private:
  at::Tensor relevant_;
  std::int64_t items_;
  std::vector<std::int32_t> before_;
  std::vector<std::int32_t> equal_;
};

// Highest score of each query in one part of its gallery.
std::vector<float> no_best(std::size_t rows) {
  return std::vector<float>(rows, -std::numeric_limits<float>::infinity());
}

struct Parts {
  at::Tensor t, v, ut, uv;  // T(t), V(v), T(t*), V(v*)
};

void run_safe_tasks(const Parts& p, const std::vector<std::int64_t>& rows,
                    std::map<std::string, Outcomes>& outcomes) {
  const at::Tensor own = diagonal_scores(p.t, p.v);
  Task text(own, p.t.size(0));
  Task image(own, p.t.size(0));
  ScoreCounts counts;
  counts.rows = {text.part(true)};
  counts.columns = {image.part(true)};
  count_scores(p.t, p.v, counts);
  text.append_to(outcomes[kTextToImage], rows, nullptr, nullptr);
  image.append_to(outcomes[kImageToText], rows, nullptr, nullptr);
}

// All tasks of rows that have all four items; the safe ones too unless they ran on more rows.
void run_all_tasks(const Parts& p, const std::vector<std::int64_t>& rows, bool with_safe_tasks,
                   std::map<std::string, Outcomes>& outcomes) {
  const std::int64_t n = p.t.size(0);
  const at::Tensor t_v = diagonal_scores(p.t, p.v), t_uv = diagonal_scores(p.t, p.uv),
                   ut_v = diagonal_scores(p.ut, p.v), ut_uv = diagonal_scores(p.ut, p.uv);
  Task text(t_v, n), image(t_v, n), unsafe_text(ut_uv, n), unsafe_image(ut_uv, n);
  Task text_union(t_v, 2 * n), image_union(t_v, 2 * n);
  Task unsafe_text_union(ut_v, 2 * n), unsafe_image_union(t_uv, 2 * n);
  // Best scores: row sides are texts among pictures, column sides pictures among texts.
  const std::vector<float> none = no_best(rows.size());
  std::vector<float> t_in_v = none, t_in_uv = none, ut_in_v = none, ut_in_uv = none;
  std::vector<float> v_in_t = none, v_in_ut = none, uv_in_t = none, uv_in_ut = none;
  ScoreCounts safe_safe{
      {text_union.part(true)}, {image_union.part(true)}, t_in_v.data(), v_in_t.data()};
  if (with_safe_tasks) {
    safe_safe.rows.push_back(text.part(true));
    safe_safe.columns.push_back(image.part(true));
  }
  count_scores(p.t, p.v, safe_safe);
  count_scores(
      p.t, p.uv,
      {{text_union.part(false)}, {unsafe_image_union.part(true)}, t_in_uv.data(), uv_in_t.data()});
  count_scores(
      p.ut, p.v,
      {{unsafe_text_union.part(true)}, {image_union.part(false)}, ut_in_v.data(), v_in_ut.data()});
  count_scores(p.ut, p.uv,
               {{unsafe_text_union.part(false), unsafe_text.part(true)},
                {unsafe_image_union.part(false), unsafe_image.part(true)},
                ut_in_uv.data(),
                uv_in_ut.data()});
  if (with_safe_tasks) {
    text.append_to(outcomes[kTextToImage], rows, nullptr, nullptr);
    image.append_to(outcomes[kImageToText], rows, nullptr, nullptr);
  }
  text_union.append_to(outcomes[kSafeTextUnion], rows, t_in_v.data(), t_in_uv.data());
  image_union.append_to(outcomes[kSafeImageUnion], rows, v_in_t.data(), v_in_ut.data());
  unsafe_text_union.append_to(outcomes[kUnsafeTextUnion], rows, ut_in_v.data(), ut_in_uv.data());
  unsafe_image_union.append_to(outcomes[kUnsafeImageUnion], rows, uv_in_t.data(), uv_in_ut.data());
  unsafe_text.append_to(outcomes[kUnsafeText], rows, nullptr, nullptr);
  unsafe_image.append_to(outcomes[kUnsafeImage], rows, nullptr, nullptr);
}

}  // namespace

at::Tensor select_rows(const at::Tensor& rows, const std::vector<std::int64_t>& index) {
  bool is_all = static_cast<std::int64_t>(index.size()) == rows.size(0);
  for (std::size_t i = 0; is_all && i < index.size(); ++i) {
    is_all = index[i] == static_cast<std::int64_t>(i);
  }
  return is_all ? rows : rows.index_select(0, at::tensor(index, at::kLong));
}

at::Tensor top_items(const at::Tensor& queries, const at::Tensor& gallery) {
  const at::NoGradGuard guard;
  const std::int64_t items = gallery.size(0);
  const std::int64_t chunk =
      std::max<std::int64_t>(1, kScoreBudget / std::max<std::int64_t>(1, items));
  const at::Tensor transposed = gallery.t();
  at::Tensor top = at::empty({queries.size(0)}, at::kLong);
  auto* index = top.mutable_data_ptr<std::int64_t>();
  for (std::int64_t begin = 0; begin < queries.size(0); begin += chunk) {
    const std::int64_t size = std::min(chunk, queries.size(0) - begin);
    const at::Tensor scores = at::mm(queries.narrow(0, begin, size), transposed);
    const auto* data = scores.const_data_ptr<float>();
    for (std::int64_t i = 0; i < size; ++i) {
      const float* row = data + i * items;
      index[begin + i] = std::max_element(row, row + items) - row;
    }
  }
  return top;
}

std::map<std::string, Outcomes> run_retrieval(const EmbeddingSet& set) {
  const at::NoGradGuard guard;
  std::map<std::string, std::vector<std::int64_t>> galleries;
  for (std::int64_t i = 0; i < set.safe_text.size(0); ++i) {
    galleries[set.gallery.empty() ? "" : set.gallery[static_cast<std::size_t>(i)]].push_back(i);
  }
  std::map<std::string, Outcomes> outcomes;
  for (const auto& [name, rows] : galleries) {
    std::vector<std::int64_t> whole;
    for (const std::int64_t row : rows) {
      if (set.has_unsafe_image[static_cast<std::size_t>(row)]) whole.push_back(row);
    }
    const bool has_unsafe =
        set.unsafe_text.defined() && set.unsafe_image.defined() && !whole.empty();
    const bool is_whole = has_unsafe && whole.size() == rows.size();
    if (!is_whole) {
      run_safe_tasks({select_rows(set.safe_text, rows), select_rows(set.safe_image, rows), {}, {}},
                     rows, outcomes);
    }
    if (!has_unsafe) continue;
    run_all_tasks({select_rows(set.safe_text, whole), select_rows(set.safe_image, whole),
                   select_rows(set.unsafe_text, whole), select_rows(set.unsafe_image, whole)},
                  whole, is_whole, outcomes);
  }
  return outcomes;
}

}  // namespace saferclip
