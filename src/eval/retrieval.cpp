// Ranks are counted, not sorted: a query's rank is one more than the number of items that score
// higher than its relevant item, so the N x N scores are walked once in tiles (score_tiles.cpp) and
// never kept. All tasks on the same pair of embeddings share a walk. A relevant score must equal
// its entry of the walk bit for bit, or an item would tie or lose against itself; therefore
// pair_scores() computes it with the same tiles.
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
  std::vector<std::int64_t> rows;    // [P] the first row of the set that shows it
  std::vector<std::int32_t> of_row;  // [N] the picture of each of the gallery's rows
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

// Ranks of one task's queries, counted part by part of their gallery.
class Task {
 public:
  // Captions are the queries: relevant to each is the picture of its row, with score own[i].
  static Task of_texts(const at::Tensor& own, const Pictures& pictures,
                       const std::vector<std::int64_t>& rows) {
    Task task(rows);
    const auto* scores = own.const_data_ptr<float>();
    for (std::size_t i = 0; i < rows.size(); ++i) {
      task.add_relevant(i, scores[i], pictures.of_row[i]);
    }
    return task;
  }
  // Pictures are the queries: relevant to each are the captions of the rows that show it.
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

  std::size_t size() const { return rows_.size(); }

  // For the part of the gallery that holds the relevant items, and for any other part.
  RankCount relevant_part() {
    return {relevant_.data(), position_.data(), before_.data(), equal_.data()};
  }
  RankCount other_part() { return {relevant_.data(), nullptr, before_.data(), equal_.data()}; }

  // Appends the counts so far, in a gallery of `items`. `best_safe` and `best_unsafe`: the highest
  // scores in the two halves of a union gallery, or null.
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
        position_(rows_.size()),
        before_(rows_.size()),
        equal_(rows_.size()) {}

  // Of several relevant items the best-ranked counts: highest score, then lowest position. The walk
  // counts every relevant item of that score as equal; equal_ starts below 0 to make up for it.
  void add_relevant(std::size_t query, float score, std::int32_t position) {
    if (std::isnan(relevant_[query]) || score > relevant_[query]) {
      relevant_[query] = score;
      position_[query] = position;
      equal_[query] = std::isnan(score) ? 0 : -1;
    } else if (score == relevant_[query]) {
      --equal_[query];
    }
  }

  std::vector<std::int64_t> rows_;  // the row of each query
  std::vector<float> relevant_;     // score of its relevant item, whose …
  std::vector<std::int32_t> position_;
  std::vector<std::int32_t> before_;
  std::vector<std::int32_t> equal_;
};

// A task in a union gallery, with each query's highest score in the safe and in the unsafe half.
struct UnionTask {
  explicit UnionTask(Task counts)
      : task(std::move(counts)),
        best_safe(task.size(), -std::numeric_limits<float>::infinity()),
        best_unsafe(best_safe) {}
  void append_to(TaskOutcomes& outcomes, std::int64_t items) const {
    task.append_to(outcomes, items, best_safe.data(), best_unsafe.data());
  }

  Task task;
  std::vector<float> best_safe;
  std::vector<float> best_unsafe;
};

using Outcomes = std::map<std::string, TaskOutcomes>;

// The rows of one gallery, and what all walks over its scores share.
struct Gallery {
  const std::vector<std::int64_t>& rows;
  const ScoreWalk& walk;
  Outcomes& outcomes;
};

// A gallery's pictures of one kind: safe or unsafe.
struct PictureItems {
  Pictures pictures;
  at::Tensor embeddings;  // [P, D]

  std::int64_t count() const { return embeddings.size(0); }
};
PictureItems picture_items(const at::Tensor& images, const std::vector<std::int64_t>& picture,
                           const std::vector<std::int64_t>& rows) {
  Pictures pictures = pictures_of(picture, rows);
  at::Tensor embeddings = select_rows(images, pictures.rows);
  return {std::move(pictures), std::move(embeddings)};
}

// Captions among pictures, and pictures among captions.
void run_two_tasks(const Gallery& gallery, const at::Tensor& texts, const PictureItems& images,
                   const char* text_task, const char* image_task) {
  const at::Tensor own =
      pair_scores(texts, images.embeddings, images.pictures.of_row, gallery.walk);
  Task text = Task::of_texts(own, images.pictures, gallery.rows);
  Task image = Task::of_pictures(own, images.pictures, gallery.rows);
  count_scores(texts, images.embeddings, {{text.relevant_part()}, {image.relevant_part()}},
               gallery.walk);
  text.append_to(gallery.outcomes[text_task], images.count());
  image.append_to(gallery.outcomes[image_task], texts.size(0));
}

// All tasks of a gallery whose rows have all four items: t, v, and the unsafe ut, uv. One walk over
// each of the four score matrices serves every task that reads it. A union task walks the half with
// its relevant items first: its counts after that walk are the ranks in that half alone.
class UnionGallery {
 public:
  UnionGallery(const Gallery& gallery, const EmbeddingSet& set)
      : gallery_(gallery),
        t_(select_rows(set.safe_text, gallery.rows)),
        ut_(select_rows(set.unsafe_text, gallery.rows)),
        v_(picture_items(set.safe_image, set.safe_picture, gallery.rows)),
        uv_(picture_items(set.unsafe_image, set.unsafe_picture, gallery.rows)) {}

  // Without `with_safe_pictures` the tasks whose items are t, ut and v alone are left out: they ran
  // on more rows.
  void run(bool with_safe_pictures) {
    walk_t_v(with_safe_pictures);
    walk_t_uv();
    walk_ut_v(with_safe_pictures);
    walk_ut_uv();
    const std::int64_t captions = t_.size(0) + ut_.size(0);
    const std::int64_t pictures = v_.count() + uv_.count();
    text_.append_to(gallery_.outcomes[kSafeTextUnion], pictures);
    image_.append_to(gallery_.outcomes[kSafeImageUnion], captions);
    unsafe_text_.append_to(gallery_.outcomes[kUnsafeTextUnion], pictures);
    unsafe_image_.append_to(gallery_.outcomes[kUnsafeImageUnion], captions);
  }

 private:
  at::Tensor own_scores(const at::Tensor& texts, const PictureItems& images) const {
    return pair_scores(texts, images.embeddings, images.pictures.of_row, gallery_.walk);
  }
  Task texts_to(const at::Tensor& own, const PictureItems& images) const {
    return Task::of_texts(own, images.pictures, gallery_.rows);
  }
  Task from_images(const at::Tensor& own, const PictureItems& images) const {
    return Task::of_pictures(own, images.pictures, gallery_.rows);
  }
  void walk(const at::Tensor& texts, const PictureItems& images, const ScoreCounts& counts) {
    count_scores(texts, images.embeddings, counts, gallery_.walk);
  }
  void append(const char* name, const Task& task, std::int64_t items) {
    task.append_to(gallery_.outcomes[name], items);
  }

  void walk_t_v(bool is_reported) {
    walk(t_, v_,
         {{text_.task.relevant_part()},
          {image_.task.relevant_part()},
          text_.best_safe.data(),
          image_.best_safe.data()});
    if (!is_reported) return;
    append(kTextToImage, text_.task, v_.count());
    append(kImageToText, image_.task, t_.size(0));
  }
  void walk_t_uv() {
    walk(t_, uv_,
         {{text_.task.other_part(), t_to_uv_.relevant_part()},
          {unsafe_image_.task.relevant_part()},
          text_.best_unsafe.data(),
          unsafe_image_.best_safe.data()});
    append(kSafeTextAmongUnsafe, t_to_uv_, uv_.count());
    append(kUnsafeImageAmongSafe, unsafe_image_.task, t_.size(0));
  }
  void walk_ut_v(bool is_reported) {
    walk(ut_, v_,
         {{unsafe_text_.task.relevant_part()},
          {image_.task.other_part(), v_to_ut_.relevant_part()},
          unsafe_text_.best_safe.data(),
          image_.best_unsafe.data()});
    if (!is_reported) return;
    append(kUnsafeTextAmongSafe, unsafe_text_.task, v_.count());
    append(kSafeImageAmongUnsafe, v_to_ut_, ut_.size(0));
  }
  void walk_ut_uv() {
    walk(ut_, uv_,
         {{unsafe_text_.task.other_part(), ut_to_uv_.relevant_part()},
          {unsafe_image_.task.other_part(), uv_to_ut_.relevant_part()},
          unsafe_text_.best_unsafe.data(),
          unsafe_image_.best_unsafe.data()});
    append(kUnsafeText, ut_to_uv_, uv_.count());
    append(kUnsafeImage, uv_to_ut_, ut_.size(0));
  }

  const Gallery& gallery_;
  const at::Tensor t_, ut_;
  const PictureItems v_, uv_;
  // The scores of each row's own pairs.
  const at::Tensor t_v_ = own_scores(t_, v_);
  const at::Tensor t_uv_ = own_scores(t_, uv_);
  const at::Tensor ut_v_ = own_scores(ut_, v_);
  const at::Tensor ut_uv_ = own_scores(ut_, uv_);
  // Queries over the union galleries …
  UnionTask text_{texts_to(t_v_, v_)};
  UnionTask unsafe_text_{texts_to(ut_v_, v_)};
  UnionTask image_{from_images(t_v_, v_)};
  UnionTask unsafe_image_{from_images(t_uv_, uv_)};
  // … and over items of one kind, where no union task counts them on its way.
  Task t_to_uv_ = texts_to(t_uv_, uv_);
  Task ut_to_uv_ = texts_to(ut_uv_, uv_);
  Task v_to_ut_ = from_images(ut_v_, v_);
  Task uv_to_ut_ = from_images(ut_uv_, uv_);
};

// The tasks between v and one or both kinds of captions.
void run_safe_pictures(const Gallery& gallery, const EmbeddingSet& set) {
  const PictureItems v = picture_items(set.safe_image, set.safe_picture, gallery.rows);
  run_two_tasks(gallery, select_rows(set.safe_text, gallery.rows), v, kTextToImage, kImageToText);
  if (!set.unsafe_text.defined()) return;
  run_two_tasks(gallery, select_rows(set.unsafe_text, gallery.rows), v, kUnsafeTextAmongSafe,
                kSafeImageAmongUnsafe);
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
    throw_if_stopped(stop, "interrupted during retrieval");
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

std::map<std::string, TaskOutcomes> run_retrieval(const EmbeddingSet& set, const StopFlag* stop,
                                                  const TileShare& share) {
  const at::NoGradGuard guard;
  const ScoreWalk walk{tile_buffer(), stop, share};
  std::map<std::string, std::vector<std::int64_t>> galleries;
  for (std::int64_t i = 0; i < set.safe_text.size(0); ++i) {
    galleries[set.gallery.empty() ? "" : set.gallery[static_cast<std::size_t>(i)]].push_back(i);
  }
  Outcomes outcomes;
  for (const auto& [name, rows] : galleries) {
    std::vector<std::int64_t> complete;  // rows that have an unsafe picture
    for (const std::int64_t row : rows) {
      if (set.has_unsafe_image[static_cast<std::size_t>(row)]) complete.push_back(row);
    }
    const bool has_unsafe =
        set.unsafe_text.defined() && set.unsafe_image.defined() && !complete.empty();
    const bool is_complete = has_unsafe && complete.size() == rows.size();
    if (!is_complete) run_safe_pictures({rows, walk, outcomes}, set);
    if (!has_unsafe) continue;
    const Gallery gallery{complete, walk, outcomes};
    UnionGallery(gallery, set).run(is_complete);
  }
  return outcomes;
}

}  // namespace saferclip
