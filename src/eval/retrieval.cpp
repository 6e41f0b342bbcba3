#include "saferclip/eval/retrieval.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

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
  explicit Task(const at::Tensor& relevant)
      : relevant_(relevant), before_(static_cast<std::size_t>(relevant.size(0))), equal_(before_) {}

  RankCount part(bool is_relevant_here) {
    return {relevant_.const_data_ptr<float>(), is_relevant_here, before_.data(), equal_.data()};
  }

  // What was counted so far, of a gallery of `items`. `best_safe` and `best_unsafe`: highest scores
  // in the two halves of a union gallery, or null.
  void append_to(Outcomes& outcomes, const std::vector<std::int64_t>& rows, std::int64_t items,
                 const float* best_safe = nullptr, const float* best_unsafe = nullptr) const {
    const auto* score = relevant_.const_data_ptr<float>();
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const bool is_top_unsafe = best_unsafe != nullptr && !(best_unsafe[i] <= best_safe[i]);
      outcomes.push_back(
          {rows[i], std::isnan(score[i]) ? items : 1 + before_[i], equal_[i] > 0, is_top_unsafe});
    }
  }

 private:
  at::Tensor relevant_;
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

// Texts among pictures and pictures among texts, where row i of one belongs to row i of the other.
void run_two_tasks(const at::Tensor& texts, const at::Tensor& images,
                   const std::vector<std::int64_t>& rows, Outcomes& of_texts, Outcomes& of_images,
                   const StopFlag* stop) {
  const at::Tensor own = diagonal_scores(texts, images);
  Task text(own);
  Task image(own);
  count_scores(texts, images, {{text.part(true)}, {image.part(true)}}, stop);
  text.append_to(of_texts, rows, texts.size(0));
  image.append_to(of_images, rows, texts.size(0));
}

// All tasks of rows that have all four items; those without V(v*) too unless they ran on more rows.
// A union gallery's part with the relevant item is walked first: what was counted by then is the
// rank in that part alone.
void run_all_tasks(const Parts& p, const std::vector<std::int64_t>& rows, bool with_all_pairs,
                   std::map<std::string, Outcomes>& outcomes, const StopFlag* stop) {
  const std::int64_t n = p.t.size(0);
  const at::Tensor t_v = diagonal_scores(p.t, p.v), t_uv = diagonal_scores(p.t, p.uv),
                   ut_v = diagonal_scores(p.ut, p.v), ut_uv = diagonal_scores(p.ut, p.uv);
  Task text(t_v), image(t_v), unsafe_text(ut_v), unsafe_image(t_uv);  // of the union galleries
  Task t_to_uv(t_uv), v_to_ut(ut_v), ut_to_uv(ut_uv), uv_to_ut(ut_uv);
  // Best scores: row sides are texts among pictures, column sides pictures among texts.
  const std::vector<float> none = no_best(rows.size());
  std::vector<float> t_in_v = none, t_in_uv = none, ut_in_v = none, ut_in_uv = none;
  std::vector<float> v_in_t = none, v_in_ut = none, uv_in_t = none, uv_in_ut = none;
  const auto append = [&](const char* name, const Task& task) {
    task.append_to(outcomes[name], rows, n);
  };
  count_scores(p.t, p.v, {{text.part(true)}, {image.part(true)}, t_in_v.data(), v_in_t.data()},
               stop);
  if (with_all_pairs) append(kTextToImage, text);
  if (with_all_pairs) append(kImageToText, image);
  count_scores(p.t, p.uv,
               {{text.part(false), t_to_uv.part(true)},
                {unsafe_image.part(true)},
                t_in_uv.data(),
                uv_in_t.data()},
               stop);
  append(kSafeTextAmongUnsafe, t_to_uv);
  append(kUnsafeImageAmongSafe, unsafe_image);
  count_scores(p.ut, p.v,
               {{unsafe_text.part(true)},
                {image.part(false), v_to_ut.part(true)},
                ut_in_v.data(),
                v_in_ut.data()},
               stop);
  if (with_all_pairs) append(kUnsafeTextAmongSafe, unsafe_text);
  if (with_all_pairs) append(kSafeImageAmongUnsafe, v_to_ut);
  count_scores(p.ut, p.uv,
               {{unsafe_text.part(false), ut_to_uv.part(true)},
                {unsafe_image.part(false), uv_to_ut.part(true)},
                ut_in_uv.data(),
                uv_in_ut.data()},
               stop);
  append(kUnsafeText, ut_to_uv);
  append(kUnsafeImage, uv_to_ut);
  text.append_to(outcomes[kSafeTextUnion], rows, 2 * n, t_in_v.data(), t_in_uv.data());
  image.append_to(outcomes[kSafeImageUnion], rows, 2 * n, v_in_t.data(), v_in_ut.data());
  unsafe_text.append_to(outcomes[kUnsafeTextUnion], rows, 2 * n, ut_in_v.data(), ut_in_uv.data());
  unsafe_image.append_to(outcomes[kUnsafeImageUnion], rows, 2 * n, uv_in_t.data(), uv_in_ut.data());
}

}  // namespace

at::Tensor select_rows(const at::Tensor& rows, const std::vector<std::int64_t>& index) {
  bool is_all = static_cast<std::int64_t>(index.size()) == rows.size(0);
  for (std::size_t i = 0; is_all && i < index.size(); ++i) {
    is_all = index[i] == static_cast<std::int64_t>(i);
  }
  return is_all ? rows : rows.index_select(0, at::tensor(index, at::kLong));
}

at::Tensor top_items(const at::Tensor& queries, const at::Tensor& gallery, const StopFlag* stop) {
  const at::NoGradGuard guard;
  const std::int64_t items = gallery.size(0);
  const std::int64_t chunk =
      std::max<std::int64_t>(1, kScoreBudget / std::max<std::int64_t>(1, items));
  const at::Tensor transposed = gallery.t();
  at::Tensor top = at::empty({queries.size(0)}, at::kLong);
  auto* index = top.mutable_data_ptr<std::int64_t>();
  for (std::int64_t begin = 0; begin < queries.size(0); begin += chunk) {
    throw_if_asked(stop, "interrupted in a retrieval");
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

std::map<std::string, Outcomes> run_retrieval(const EmbeddingSet& set, const StopFlag* stop) {
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
      const at::Tensor images = select_rows(set.safe_image, rows);
      run_two_tasks(select_rows(set.safe_text, rows), images, rows, outcomes[kTextToImage],
                    outcomes[kImageToText], stop);
      if (set.unsafe_text.defined()) {
        run_two_tasks(select_rows(set.unsafe_text, rows), images, rows,
                      outcomes[kUnsafeTextAmongSafe], outcomes[kSafeImageAmongUnsafe], stop);
      }
    }
    if (!has_unsafe) continue;
    run_all_tasks({select_rows(set.safe_text, whole), select_rows(set.safe_image, whole),
                   select_rows(set.unsafe_text, whole), select_rows(set.unsafe_image, whole)},
                  whole, is_whole, outcomes, stop);
  }
  return outcomes;
}

}  // namespace saferclip
