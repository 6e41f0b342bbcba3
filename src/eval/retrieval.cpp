#include "saferclip/eval/retrieval.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <unordered_map>

#include "eval/score_tiles.h"

namespace saferclip {
namespace {

constexpr std::int64_t kScoreBudget = 4'000'000;  // scores kept at a time: 16 MB

// The distinct pictures that the rows of one gallery show.
struct Pictures {
  std::vector<std::int64_t> rows;    // [P] the row of the set that shows it first
  std::vector<std::int32_t> of_row;  // [N] the picture of each of the gallery's rows

  std::int64_t count() const { return static_cast<std::int64_t>(rows.size()); }
};

// `rows` of a set; `picture` as in EmbeddingSet.
Pictures pictures_of(const std::vector<std::int64_t>& picture,
                     const std::vector<std::int64_t>& rows) {
  Pictures result;
  std::unordered_map<std::int64_t, std::int32_t> known;
  for (const std::int64_t row : rows) {
    const auto next = static_cast<std::int32_t>(result.rows.size());
    const std::int64_t number = picture.empty() ? row : picture[static_cast<std::size_t>(row)];
    const auto [found, is_new] = known.emplace(number, next);
    if (is_new) result.rows.push_back(row);
    result.of_row.push_back(found->second);
  }
  return result;
}

// Counts of one task while the parts of its gallery are walked.
class Task {
 public:
  // Captions ask: the relevant item of each is the picture of its row, at score own[i].
  static Task of_texts(const at::Tensor& own, const Pictures& pictures,
                       const std::vector<std::int64_t>& rows) {
    Task task(rows);
    const auto* scores = own.const_data_ptr<float>();
    for (std::size_t i = 0; i < rows.size(); ++i) {
      task.add_relevant(i, scores[i], pictures.of_row[i]);
    }
    return task;
  }
  // Pictures ask: the relevant items of each are the captions of the rows that show it.
  static Task of_pictures(const at::Tensor& own, const Pictures& pictures,
                          const std::vector<std::int64_t>& rows) {
    Task task(pictures.rows);
    const auto* scores = own.const_data_ptr<float>();
    for (std::size_t i = 0; i < rows.size(); ++i) {
      task.add_relevant(static_cast<std::size_t>(pictures.of_row[i]), scores[i],
                        static_cast<std::int32_t>(i));
    }
    return task;
  }

  RankCount part(bool is_relevant_here) {
    return {relevant_.data(), is_relevant_here ? place_.data() : nullptr, before_.data(),
            equal_.data()};
  }

  // What was counted so far, of a gallery of `items`. `best_safe` and `best_unsafe`: highest scores
  // in the two halves of a union gallery, or null.
  void append_to(TaskOutcomes& outcomes, std::int64_t items, const float* best_safe = nullptr,
                 const float* best_unsafe = nullptr) const {
    for (std::size_t i = 0; i < rows_.size(); ++i) {
      const bool is_top_unsafe = best_unsafe != nullptr && !(best_unsafe[i] <= best_safe[i]);
      outcomes.queries.push_back({rows_[i], std::isnan(relevant_[i]) ? items : 1 + before_[i],
                                  equal_[i] > 0, is_top_unsafe});
    }
    outcomes.items += items;
  }

 private:
  explicit Task(std::vector<std::int64_t> rows)
      : rows_(std::move(rows)),
        relevant_(rows_.size(), std::numeric_limits<float>::quiet_NaN()),
        place_(rows_.size()),
        before_(rows_.size()),
        equal_(rows_.size()) {}

  // Of several relevant items the one that ranks first: the best score, then the lowest place.
  // Those of the same score will be counted as equal, and are no ties.
  void add_relevant(std::size_t query, float score, std::int32_t place) {
    if (std::isnan(relevant_[query]) || score > relevant_[query]) {
      relevant_[query] = score;
      place_[query] = place;
      equal_[query] = std::isnan(score) ? 0 : -1;
    } else if (score == relevant_[query]) {
      --equal_[query];
    }
  }

  std::vector<std::int64_t> rows_;  // the row of each query
  std::vector<float> relevant_;
  std::vector<std::int32_t> place_;
  std::vector<std::int32_t> before_;
  std::vector<std::int32_t> equal_;
};

// Highest score of each query in one part of its gallery.
std::vector<float> no_best(std::size_t rows) {
  return std::vector<float>(rows, -std::numeric_limits<float>::infinity());
}

struct Parts {
  at::Tensor t, v, ut, uv;  // T(t), V(v), T(t*), V(v*); of pictures one row each
  at::Tensor tile;          // buffer
};

// Texts among pictures and pictures among texts.
void run_two_tasks(const at::Tensor& texts, const at::Tensor& images, const Pictures& pictures,
                   const std::vector<std::int64_t>& rows, TaskOutcomes& of_texts,
                   TaskOutcomes& of_images, const at::Tensor& tile, const StopFlag* stop) {
  const at::Tensor own = pair_scores(texts, images, pictures.of_row, tile);
  Task text = Task::of_texts(own, pictures, rows);
  Task image = Task::of_pictures(own, pictures, rows);
  count_scores(texts, images, {{text.part(true)}, {image.part(true)}}, tile, stop);
  text.append_to(of_texts, images.size(0));
  image.append_to(of_images, texts.size(0));
}

// All tasks of rows that have all four items; those without V(v*) too unless they ran on more rows.
// A union gallery's part with the relevant item is walked first: what was counted by then is the
// rank in that part alone.
void run_all_tasks(const Parts& p, const Pictures& safe, const Pictures& unsafe,
                   const std::vector<std::int64_t>& rows, bool with_all_pairs,
                   std::map<std::string, TaskOutcomes>& outcomes, const StopFlag* stop) {
  const std::int64_t n = p.t.size(0), pictures = safe.count(), unsafe_pictures = unsafe.count();
  const at::Tensor t_v = pair_scores(p.t, p.v, safe.of_row, p.tile),
                   t_uv = pair_scores(p.t, p.uv, unsafe.of_row, p.tile),
                   ut_v = pair_scores(p.ut, p.v, safe.of_row, p.tile),
                   ut_uv = pair_scores(p.ut, p.uv, unsafe.of_row, p.tile);
  const auto texts = [&](const at::Tensor& own, const Pictures& among) {
    return Task::of_texts(own, among, rows);
  };
  const auto images = [&](const at::Tensor& own, const Pictures& ask) {
    return Task::of_pictures(own, ask, rows);
  };
  // Of the union galleries, then of those of one kind.
  Task text = texts(t_v, safe), unsafe_text = texts(ut_v, safe);
  Task image = images(t_v, safe), unsafe_image = images(t_uv, unsafe);
  Task t_to_uv = texts(t_uv, unsafe), ut_to_uv = texts(ut_uv, unsafe);
  Task v_to_ut = images(ut_v, safe), uv_to_ut = images(ut_uv, unsafe);
  // Best scores: row sides are texts among pictures, column sides pictures among texts.
  const std::vector<float> none = no_best(rows.size()), none_v = no_best(safe.rows.size()),
                           none_uv = no_best(unsafe.rows.size());
  std::vector<float> t_in_v = none, t_in_uv = none, ut_in_v = none, ut_in_uv = none;
  std::vector<float> v_in_t = none_v, v_in_ut = none_v, uv_in_t = none_uv, uv_in_ut = none_uv;
  const auto append = [&](const char* name, const Task& task, std::int64_t items) {
    task.append_to(outcomes[name], items);
  };
  count_scores(p.t, p.v, {{text.part(true)}, {image.part(true)}, t_in_v.data(), v_in_t.data()},
               p.tile, stop);
  if (with_all_pairs) append(kTextToImage, text, pictures);
  if (with_all_pairs) append(kImageToText, image, n);
  count_scores(p.t, p.uv,
               {{text.part(false), t_to_uv.part(true)},
                {unsafe_image.part(true)},
                t_in_uv.data(),
                uv_in_t.data()},
               p.tile, stop);
  append(kSafeTextAmongUnsafe, t_to_uv, unsafe_pictures);
  append(kUnsafeImageAmongSafe, unsafe_image, n);
  count_scores(p.ut, p.v,
               {{unsafe_text.part(true)},
                {image.part(false), v_to_ut.part(true)},
                ut_in_v.data(),
                v_in_ut.data()},
               p.tile, stop);
  if (with_all_pairs) append(kUnsafeTextAmongSafe, unsafe_text, pictures);
  if (with_all_pairs) append(kSafeImageAmongUnsafe, v_to_ut, n);
  count_scores(p.ut, p.uv,
               {{unsafe_text.part(false), ut_to_uv.part(true)},
                {unsafe_image.part(false), uv_to_ut.part(true)},
                ut_in_uv.data(),
                uv_in_ut.data()},
               p.tile, stop);
  append(kUnsafeText, ut_to_uv, unsafe_pictures);
  append(kUnsafeImage, uv_to_ut, n);
  const std::int64_t all_pictures = pictures + unsafe_pictures;
  text.append_to(outcomes[kSafeTextUnion], all_pictures, t_in_v.data(), t_in_uv.data());
  image.append_to(outcomes[kSafeImageUnion], 2 * n, v_in_t.data(), v_in_ut.data());
  unsafe_text.append_to(outcomes[kUnsafeTextUnion], all_pictures, ut_in_v.data(), ut_in_uv.data());
  unsafe_image.append_to(outcomes[kUnsafeImageUnion], 2 * n, uv_in_t.data(), uv_in_ut.data());
}

}  // namespace

at::Tensor select_rows(const at::Tensor& rows, const std::vector<std::int64_t>& index) {
  bool is_all = static_cast<std::int64_t>(index.size()) == rows.size(0);
  for (std::size_t i = 0; is_all && i < index.size(); ++i) {
    is_all = index[i] == static_cast<std::int64_t>(i);
  }
  return is_all ? rows : rows.index_select(0, at::tensor(index, at::kLong));
}

void for_each_score_row(const at::Tensor& queries, const at::Tensor& gallery, const StopFlag* stop,
                        const std::function<void(const float* scores, std::int64_t items)>& visit) {
  const at::NoGradGuard guard;
  const std::int64_t items = gallery.size(0);
  const std::int64_t chunk =
      std::max<std::int64_t>(1, kScoreBudget / std::max<std::int64_t>(1, items));
  const at::Tensor transposed = gallery.t();
  for (std::int64_t begin = 0; begin < queries.size(0); begin += chunk) {
    throw_if_asked(stop, "interrupted in a retrieval");
    const std::int64_t size = std::min(chunk, queries.size(0) - begin);
    const at::Tensor scores = at::mm(queries.narrow(0, begin, size), transposed);
    const auto* data = scores.const_data_ptr<float>();
    for (std::int64_t i = 0; i < size; ++i) visit(data + i * items, items);
  }
}

at::Tensor top_items(const at::Tensor& queries, const at::Tensor& gallery, const StopFlag* stop) {
  at::Tensor top = at::empty({queries.size(0)}, at::kLong);
  auto* next = top.mutable_data_ptr<std::int64_t>();
  for_each_score_row(queries, gallery, stop, [&](const float* scores, std::int64_t items) {
    *next++ = std::max_element(scores, scores + items) - scores;
  });
  return top;
}

std::vector<std::int64_t> distinct_pictures(const std::vector<std::int64_t>& picture,
                                            std::int64_t rows) {
  std::vector<std::int64_t> all(static_cast<std::size_t>(rows));
  std::iota(all.begin(), all.end(), 0);
  return pictures_of(picture, all).rows;
}

std::map<std::string, TaskOutcomes> run_retrieval(const EmbeddingSet& set, const StopFlag* stop) {
  const at::NoGradGuard guard;
  const at::Tensor tile = tile_buffer();
  std::map<std::string, std::vector<std::int64_t>> galleries;
  for (std::int64_t i = 0; i < set.safe_text.size(0); ++i) {
    galleries[set.gallery.empty() ? "" : set.gallery[static_cast<std::size_t>(i)]].push_back(i);
  }
  std::map<std::string, TaskOutcomes> outcomes;
  for (const auto& [name, rows] : galleries) {
    std::vector<std::int64_t> whole;
    for (const std::int64_t row : rows) {
      if (set.has_unsafe_image[static_cast<std::size_t>(row)]) whole.push_back(row);
    }
    const bool has_unsafe =
        set.unsafe_text.defined() && set.unsafe_image.defined() && !whole.empty();
    const bool is_whole = has_unsafe && whole.size() == rows.size();
    if (!is_whole) {
      const Pictures safe = pictures_of(set.safe_picture, rows);
      const at::Tensor v = select_rows(set.safe_image, safe.rows);
      run_two_tasks(select_rows(set.safe_text, rows), v, safe, rows, outcomes[kTextToImage],
                    outcomes[kImageToText], tile, stop);
      if (set.unsafe_text.defined()) {
        run_two_tasks(select_rows(set.unsafe_text, rows), v, safe, rows,
                      outcomes[kUnsafeTextAmongSafe], outcomes[kSafeImageAmongUnsafe], tile, stop);
      }
    }
    if (!has_unsafe) continue;
    const Pictures safe = pictures_of(set.safe_picture, whole);
    const Pictures unsafe = pictures_of(set.unsafe_picture, whole);
    run_all_tasks(
        {select_rows(set.safe_text, whole), select_rows(set.safe_image, safe.rows),
         select_rows(set.unsafe_text, whole), select_rows(set.unsafe_image, unsafe.rows), tile},
        safe, unsafe, whole, is_whole, outcomes, stop);
  }
  return outcomes;
}

}  // namespace saferclip
