#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <barrier>
#include <cmath>
#include <limits>
#include <thread>

#include "saferclip/core/error.h"
#include "saferclip/eval/intervals.h"
#include "saferclip/eval/outcomes.h"
#include "saferclip/eval/space.h"

namespace saferclip {
namespace {

using ::testing::ElementsAre;

const OutcomeColumn& column(const OutcomeTable& table, const std::vector<std::string>& path) {
  for (const OutcomeColumn& c : table.columns) {
    if (c.keys == path) return c;
  }
  throw std::runtime_error("no such column");
}

std::vector<std::int64_t> ranks_of(const TaskOutcomes& outcomes) {
  std::vector<std::int64_t> ranks;
  for (const QueryOutcome& o : outcomes.queries) ranks.push_back(o.rank);
  return ranks;
}

TEST(Retrieval, HandMadeTies) {
  const at::Tensor rows = at::tensor({1.0F, 0.0F, 0.0F, 1.0F, 1.0F, 0.0F}).view({3, 2});
  const EmbeddingSet set{rows, rows, {}, {}, {false, false, false}};
  const auto outcomes = run_retrieval(set);
  for (const char* task : {kTextToImage, kImageToText}) {
    EXPECT_THAT(ranks_of(outcomes.at(task)), ElementsAre(1, 1, 2));
    EXPECT_TRUE(outcomes.at(task).queries[0].is_tied);
    EXPECT_FALSE(outcomes.at(task).queries[1].is_tied);
  }
  const SplitOutcomes measured = measure_split(set, {1, 2, 50});
  EXPECT_NEAR(percent_of(column(measured.table, {"retrieval", kTextToImage, "r@1"})), 200.0 / 3,
              1e-5);
  EXPECT_EQ(percent_of(column(measured.table, {"retrieval", kTextToImage, "r@50"})), 100);
  EXPECT_EQ(measured.tasks.at(kTextToImage).ties, 2);
  EXPECT_EQ(top_items(rows, rows)[2].item<std::int64_t>(), 0);
}

// Gathers rows among threads that stand for processes.
class Threads {
 public:
  explicit Threads(int size) : rows_(static_cast<std::size_t>(size)), all_here_(size) {}

  TileShare share(int rank) {
    return {rank, static_cast<int>(rows_.size()), [this, rank](const at::Tensor& row) {
              rows_[static_cast<std::size_t>(rank)] = row;
              all_here_.arrive_and_wait();
              at::Tensor all = at::cat(rows_);
              all_here_.arrive_and_wait();
              return all;
            }};
  }

 private:
  std::vector<at::Tensor> rows_;
  std::barrier<> all_here_;
};

void expect_equal(const std::map<std::string, TaskOutcomes>& shared,
                  const std::map<std::string, TaskOutcomes>& alone) {
  ASSERT_EQ(shared.size(), alone.size());
  for (const auto& [task, outcomes] : alone) {
    const TaskOutcomes& found = shared.at(task);
    EXPECT_EQ(found.items, outcomes.items);
    ASSERT_EQ(found.queries.size(), outcomes.queries.size());
    for (std::size_t i = 0; i < outcomes.queries.size(); ++i) {
      const QueryOutcome& a = found.queries[i];
      const QueryOutcome& b = outcomes.queries[i];
      ASSERT_TRUE(a.row == b.row && a.rank == b.rank && a.is_tied == b.is_tied &&
                  a.is_top_unsafe == b.is_top_unsafe)
          << task << ", query " << i;
    }
  }
}

// Few distinct values give ties, also across tiles; the captions' pictures are not in order.
TEST(Retrieval, SharedByProcessesIsTheSame) {
  constexpr std::int64_t kRows = 2300;
  at::manual_seed(5);
  const auto rows = [] { return at::randint(0, 3, {kRows, 5}, at::kFloat) - 1; };
  EmbeddingSet set{rows(), rows(), rows(), rows(), {}};
  for (std::int64_t i = 0; i < kRows; ++i) {
    set.has_unsafe_image.push_back(i % 7 != 0);
    set.safe_picture.push_back((7 * i) % 1900);
    set.unsafe_picture.push_back((11 * i) % 2100);
  }
  const auto alone = run_retrieval(set);
  constexpr int kSize = 3;
  Threads threads(kSize);
  std::vector<std::map<std::string, TaskOutcomes>> shared(kSize);
  {
    std::vector<std::jthread> running;
    for (int rank = 0; rank < kSize; ++rank) {
      running.emplace_back([&, rank] {
        shared[static_cast<std::size_t>(rank)] = run_retrieval(set, nullptr, threads.share(rank));
      });
    }
  }
  for (const auto& outcomes : shared) expect_equal(outcomes, alone);
}

// The tiles of 1024 must not show: rows that are equal lie in different tiles.
TEST(Retrieval, TiesAcrossTiles) {
  constexpr std::int64_t kRows = 2500;
  at::manual_seed(4);
  at::Tensor text = at::randint(0, 2, {kRows, 6}, at::kFloat) - 0.5;
  const at::Tensor image = at::randint(0, 2, {kRows, 6}, at::kFloat) - 0.5;
  const auto outcomes =
      run_retrieval({text, image, {}, {}, std::vector<bool>(static_cast<std::size_t>(kRows))});
  const at::Tensor scores = at::mm(text, image.t());
  for (const bool is_text : {true, false}) {
    const at::Tensor s = is_text ? scores : scores.t().contiguous();
    const at::Tensor own = s.diagonal().unsqueeze(1);
    const at::Tensor before = at::ones({kRows, kRows}).tril(-1).ne(0);
    const at::Tensor rank = 1 + s.gt(own).sum(1) + s.eq(own).logical_and(before).sum(1);
    const auto& found = outcomes.at(is_text ? kTextToImage : kImageToText).queries;
    for (std::int64_t i = 0; i < kRows; ++i) {
      ASSERT_EQ(found[static_cast<std::size_t>(i)].rank, rank[i].item<std::int64_t>()) << i;
    }
  }
}

// Captions of one picture lie in different tiles, and so do their pictures.
TEST(Retrieval, SharedPicturesAcrossTiles) {
  constexpr std::int64_t kRows = 2500, kPictures = 1300;
  at::manual_seed(6);
  EmbeddingSet set;
  set.safe_text = at::randint(0, 2, {kRows, 9}, at::kFloat) - 0.5;
  const at::Tensor pictures = at::randint(0, 2, {kPictures, 9}, at::kFloat) - 0.5;
  const at::Tensor shows = at::randint(0, kPictures, {kRows}, at::kLong);
  set.safe_image = pictures.index_select(0, shows);
  set.has_unsafe_image.assign(static_cast<std::size_t>(kRows), false);
  for (std::int64_t i = 0; i < kRows; ++i)
    set.safe_picture.push_back(shows[i].item<std::int64_t>());
  const std::vector<std::int64_t> first = distinct_pictures(set.safe_picture, kRows);
  const at::Tensor items = set.safe_image.index_select(0, at::tensor(first, at::kLong));
  const at::Tensor scores = at::mm(set.safe_text, items.t());  // [rows, items]
  const at::Tensor own = shows.index_select(0, at::tensor(first, at::kLong)).unsqueeze(0);
  const at::Tensor relevant = shows.unsqueeze(1).eq(own);
  const auto expect = [](const TaskOutcomes& found, const at::Tensor& s, const at::Tensor& right) {
    const at::Tensor best = s.masked_fill(right.logical_not(), -9).amax(1, true);
    const at::Tensor place = s.eq(best).logical_and(right).to(at::kInt).argmax(1, true);  // first
    const at::Tensor before = at::arange(s.size(1)).unsqueeze(0).lt(place);
    const at::Tensor rank = 1 + s.gt(best).sum(1) + s.eq(best).logical_and(before).sum(1);
    const at::Tensor tied = s.eq(best).logical_and(right.logical_not()).any(1);
    ASSERT_EQ(static_cast<std::int64_t>(found.queries.size()), s.size(0));
    EXPECT_EQ(found.items, s.size(1));
    for (std::int64_t i = 0; i < s.size(0); ++i) {
      const QueryOutcome& query = found.queries[static_cast<std::size_t>(i)];
      ASSERT_EQ(query.rank, rank[i].item<std::int64_t>()) << i;
      ASSERT_EQ(query.is_tied, tied[i].item<bool>()) << i;
    }
  };
  const auto outcomes = run_retrieval(set);
  expect(outcomes.at(kTextToImage), scores, relevant);
  expect(outcomes.at(kImageToText), scores.t().contiguous(), relevant.t().contiguous());
  EXPECT_EQ(outcomes.at(kImageToText).queries[1].row, first[1]);
  EXPECT_EQ(measure_split(set, {1}).table.cluster.size(), static_cast<std::size_t>(kRows));
}

TEST(Retrieval, ACollapsedModelScoresLikeChance) {
  const at::Tensor same = at::ones({8, 4}) / 2;
  const EmbeddingSet set{same, same, same, same, std::vector<bool>(8, true)};
  const OutcomeTable table = measure_split(set, {1}).table;
  EXPECT_NEAR(percent_of(column(table, {"retrieval", kTextToImage, "r@1"})), 100.0 / 8, 1e-5);
  EXPECT_EQ(percent_of(column(table, {"safeground", "gs"})), 0);
  // Damage can look like safety: all ties go to the safe items that stand first.
  EXPECT_EQ(percent_of(column(table, {"unsafe_top1", "text"})), 0);
  const EmbeddingSpace space = measure_space(same);
  EXPECT_NEAR(space.mean_cosine, 1, 1e-9);
  EXPECT_NEAR(space.effective_rank, 1, 1e-5);
}

TEST(Space, OrthogonalRowsHaveFullRank) {
  const EmbeddingSpace space = measure_space(at::eye(6));
  EXPECT_NEAR(space.mean_cosine, 0, 1e-12);
  EXPECT_NEAR(space.effective_rank, 6, 1e-9);
  EXPECT_EQ(mean_cosine(at::eye(6), at::eye(6)), 1);
}

TEST(Retrieval, OneRowAndNoUnsafeHalf) {
  EmbeddingSet set;
  set.safe_text = set.safe_image = at::ones({1, 1});
  set.has_unsafe_image = {false};
  EXPECT_EQ(run_retrieval(set).size(), 2U);
  const OutcomeTable table = measure_split(set, {5}).table;
  ASSERT_EQ(table.columns.size(), 2U);
  EXPECT_EQ(percent_of(table.columns[0]), 100);
}

TEST(Retrieval, NotANumberIsNoHit) {
  const at::Tensor broken = at::full({2, 2}, std::numeric_limits<float>::quiet_NaN());
  const auto outcomes = run_retrieval({broken, at::ones({2, 2}), broken, broken, {true, true}});
  EXPECT_THAT(ranks_of(outcomes.at(kTextToImage)), ElementsAre(2, 2));
  EXPECT_THAT(ranks_of(outcomes.at(kUnsafeTextUnion)), ElementsAre(4, 4));
  EXPECT_THAT(ranks_of(outcomes.at(kUnsafeTextAmongSafe)), ElementsAre(2, 2));
}

TEST(Retrieval, RowsWithoutUnsafePictureAreLeftOutWhereItIsNeeded) {
  at::manual_seed(3);
  const auto draw = [] { return at::randn({5, 4}); };
  const EmbeddingSet set{draw(), draw(), draw(), draw(), {true, false, true, true, false}};
  const SplitOutcomes measured = measure_split(set, {1});
  EXPECT_EQ(measured.tasks.at(kTextToImage).n, 5);
  EXPECT_EQ(measured.tasks.at(kUnsafeTextUnion).n, 3);
  for (const char* task : {kUnsafeTextAmongSafe, kSafeImageAmongUnsafe}) {
    EXPECT_EQ(measured.tasks.at(task).n, 5) << task;  // no unsafe picture in it
  }
  for (const char* task : {kSafeTextAmongUnsafe, kUnsafeImageAmongSafe}) {
    EXPECT_EQ(measured.tasks.at(task).n, 3) << task;
  }
  EXPECT_EQ(count_of(column(measured.table, {"safeground", "gs"})), 3);
  EXPECT_TRUE(std::isnan(column(measured.table, {"unsafe_top1", "text"}).value[1]));
}

// Every pairing in a gallery of one kind ranks as if the two kinds were all there is.
TEST(Retrieval, GalleriesOfOneKindStandAlone) {
  at::manual_seed(5);
  const auto draw = [] { return at::randint(0, 2, {30, 5}, at::kFloat) - 0.5; };
  const at::Tensor t = draw(), v = draw(), ut = draw(), uv = draw();
  const std::vector<bool> all(30, true);
  const auto outcomes = run_retrieval({t, v, ut, uv, all});
  for (const auto& [text, image, from_text, from_image] :
       {std::tuple(t, v, kTextToImage, kImageToText),
        std::tuple(t, uv, kSafeTextAmongUnsafe, kUnsafeImageAmongSafe),
        std::tuple(ut, v, kUnsafeTextAmongSafe, kSafeImageAmongUnsafe),
        std::tuple(ut, uv, kUnsafeText, kUnsafeImage)}) {
    const auto alone = run_retrieval({text, image, {}, {}, all});
    for (const auto& [task, pair] :
         {std::pair(from_text, kTextToImage), {from_image, kImageToText}}) {
      for (std::size_t i = 0; i < all.size(); ++i) {
        EXPECT_EQ(outcomes.at(task).queries[i].rank, alone.at(pair).queries[i].rank)
            << task << " " << i;
        EXPECT_EQ(outcomes.at(task).queries[i].is_tied, alone.at(pair).queries[i].is_tied)
            << task << " " << i;
      }
    }
  }
}

TEST(ZeroShot, GroupsAndTies) {
  const at::Tensor classes = at::tensor({1.0F, 0.0F, 1.0F, 0.0F, 0.0F, 1.0F}).view({3, 2});
  const at::Tensor images = at::tensor({1.0F, 0.0F, 0.0F, 1.0F, 1.0F, 0.0F}).view({3, 2});
  const OutcomeTable table =
      measure_zero_shot(images, classes, {1, 2, 0}, {"safe", "unsafe", "unsafe"});
  const auto percent = [&](const std::vector<std::string>& path) {
    return percent_of(column(table, path));
  };
  EXPECT_NEAR(percent({"top1"}), 200.0 / 3, 1e-5);  // classes 0 and 1 are equal: the first wins
  EXPECT_EQ(count_of(column(table, {"groups", "unsafe", "top1"})), 2);
  EXPECT_EQ(percent({"groups", "unsafe", "top1"}), 50);
  EXPECT_EQ(percent({"groups", "unsafe", "predicted", "safe"}), 50);
  EXPECT_EQ(percent({"groups", "safe", "top1"}), 100);
}

TEST(ZeroShot, TopFiveAndTheMeanOverClasses) {
  const at::Tensor classes = at::eye(6);
  // Of class 0 three images, two of them right; of class 5 one, which is wrong and sixth.
  const at::Tensor images =
      at::cat({at::eye(6).narrow(0, 0, 1), at::eye(6).narrow(0, 0, 1), at::eye(6).narrow(0, 1, 1),
               at::tensor({5.0F, 4.0F, 3.0F, 2.0F, 1.0F, 0.0F}).view({1, 6})});
  const OutcomeTable table = measure_zero_shot(images, classes, {0, 0, 0, 5}, {});
  EXPECT_EQ(percent_of(column(table, {"top1"})), 50);
  EXPECT_EQ(percent_of(column(table, {"top5"})), 75);
  EXPECT_NEAR(percent_of(column(table, {"mean_per_class_recall"})), 100.0 / 3, 1e-12);
  EXPECT_EQ(count_of(column(table, {"mean_per_class_recall"})), 4);
  const OutcomeTable all_right = measure_zero_shot(at::eye(6), classes, {0, 1, 2, 3, 4, 5}, {});
  for (const Interval& interval : bootstrap_intervals(all_right, 100, 1)) {
    EXPECT_NEAR(interval.low, 100 * std::pow(0.025, 1.0 / 6), 1e-12);
    EXPECT_EQ(interval.high, 100);
  }
  const Difference d = compare_paired(table, table, 100, 1)[2];
  EXPECT_EQ(d.value, 0);
  EXPECT_EQ(d.n, 4);
}

TEST(TopUnsafe, SafeItemsFirst) {
  const at::Tensor x = at::eye(2);
  EXPECT_THAT(measure_top_unsafe(x, x.narrow(0, 0, 1), x).value, ElementsAre(0, 1));
}

OutcomeTable coin_table(std::int64_t rows, std::int64_t heads) {
  OutcomeTable table{rows, {{{"coin"}, std::vector<float>(static_cast<std::size_t>(rows), 0)}}, {}};
  for (std::int64_t i = 0; i < heads; ++i) table.columns[0].value[static_cast<std::size_t>(i)] = 1;
  return table;
}

// scipy.stats.binomtest(0, 50).proportion_ci(method="exact") and (50, 50).
TEST(Intervals, RowsThatAllAgreeHaveTheExactBound) {
  const Interval none = bootstrap_intervals(coin_table(50, 0), 100, 1).front();
  EXPECT_EQ(none.low, 0);
  EXPECT_NEAR(none.high, 7.112173646419762, 1e-9);
  const Interval all = bootstrap_intervals(coin_table(50, 50), 100, 1).front();
  EXPECT_NEAR(all.low, 92.88782635358024, 1e-9);
  EXPECT_EQ(all.high, 100);
}

// Of a proportion the bootstrap's distribution is binomial: 95 % within 1.96 standard errors.
TEST(Intervals, OfAProportion) {
  const Interval interval = bootstrap_intervals(coin_table(400, 100), 4000, 1)[0];
  const double error = 100 * std::sqrt(0.25 * 0.75 / 400);
  EXPECT_NEAR(interval.low, 25 - 1.96 * error, 0.35);
  EXPECT_NEAR(interval.high, 25 + 1.96 * error, 0.35);
}

// Rows of one pair are no independent evidence: four pairs of 100 equal rows are four coins.
TEST(Intervals, ClustersAreTheUnits) {
  OutcomeTable table = coin_table(400, 200);
  for (std::int64_t i = 0; i < 400; ++i) table.cluster.push_back(i / 100);
  const Interval interval = bootstrap_intervals(table, 2000, 1)[0];
  EXPECT_EQ(interval.low, 0);
  EXPECT_EQ(interval.high, 100);
}

TEST(Intervals, RowsThatAreNotMeasuredDoNotCount) {
  OutcomeTable table = coin_table(50, 25);
  for (std::size_t i = 25; i < 50; ++i) {
    table.columns[0].value[i] = std::numeric_limits<float>::quiet_NaN();
  }
  EXPECT_NEAR(bootstrap_intervals(table, 500, 1)[0].low, 100 * std::pow(0.025, 1.0 / 25), 1e-12);
  EXPECT_EQ(percent_of(table.columns[0]), 100);
}

TEST(PairedComparison, SeesWhatIntervalsOfEachCannot) {
  const OutcomeTable first = coin_table(200, 100);
  const OutcomeTable second = coin_table(200, 110);  // the same rows and ten more
  const Difference d = compare_paired(first, second, 2000, 1)[0];
  EXPECT_NEAR(d.value, 5, 1e-6);
  EXPECT_GT(d.interval.low, 1);
  EXPECT_LT(d.p, 0.01);  // 2 · 2^-10 and the draws' own noise
  EXPECT_EQ(d.n, 200);
  const Difference same = compare_paired(first, first, 500, 1)[0];
  EXPECT_EQ(same.value, 0);
  EXPECT_EQ(same.p, 1);
}

TEST(Evaluation, StopsInTheMiddle) {
  const at::Tensor rows = at::eye(4);
  const EmbeddingSet pairs{rows, rows, {}, {}, {false, false, false, false}};
  const EmbeddingSet quadruplets{rows, rows, rows, rows, {true, true, true, true}};
  const OutcomeTable table = coin_table(20, 10);
  StopFlag stop;
  EXPECT_EQ(measure_split(quadruplets, {1}, &stop).table.rows, 4);
  EXPECT_EQ(compare_paired(table, table, 50, 1, &stop).size(), 1U);
  stop.request(143);
  EXPECT_THROW(measure_split(pairs, {1}, &stop), Interrupted);
  EXPECT_THROW(measure_split(quadruplets, {1}, &stop), Interrupted);
  EXPECT_THROW(measure_zero_shot(rows, rows, {0, 1, 2, 3}, {}, &stop), Interrupted);
  EXPECT_THROW(measure_top_unsafe(rows, rows, rows, &stop), Interrupted);
  EXPECT_THROW(bootstrap_intervals(table, 50, 1, &stop), Interrupted);
  EXPECT_THROW(compare_paired(table, table, 50, 1, &stop), Interrupted);
}

}  // namespace
}  // namespace saferclip
