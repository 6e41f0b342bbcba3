// How rows are ranked, against distances computed pair by pair.
#include "saferclip/evaluate/row_ranking.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "saferclip/eval/outcomes.h"
#include "saferclip/objective/lorentz.h"
#include "support/tensors.h"

namespace saferclip {
namespace {

constexpr std::int64_t kRows = 40, kWidth = 6;

EmbeddingSet random_set() {
  at::manual_seed(5);
  const auto draw = [](double size) { return at::randn({kRows, kWidth}) * size; };
  EmbeddingSet set;
  set.safe_text = draw(1);
  set.safe_image = draw(1.2);
  set.unsafe_text = draw(4);
  set.unsafe_image = draw(6);
  set.has_unsafe_image.assign(kRows, true);
  set.has_unsafe_image[3] = false;
  for (std::int64_t i = 0; i < kRows; ++i) {
    set.safe_picture.push_back(i);
    set.unsafe_picture.push_back(i);
  }
  return set;
}

LorentzScalars scalars() {
  return {at::full({}, 0.3), at::full({}, -0.9), at::full({}, -0.7), at::full({}, 3.0)};
}

at::Tensor orders(const at::Tensor& scores) { return std::get<1>(scores.sort(true, 1, true)); }

TEST(RowRanking, ProductsRankByDistance) {
  const EmbeddingSet set = random_set();
  const RowRanking ranking(scalars(), {});
  const at::Tensor c = at::full({}, 0.3).to(at::kDouble).exp();
  const at::Tensor t = lift_embeddings(set.unsafe_text, scalars().alpha_text, c);
  const at::Tensor v = lift_embeddings(set.safe_image, scalars().alpha_image, c);
  const at::Tensor distances = lorentz_distances(t, v, c);
  const EmbeddingSet items = ranking.items(set);
  EXPECT_EQ(items.safe_image.dtype(), at::kFloat);
  const at::Tensor scores = at::mm(items.unsafe_text, items.safe_image.t());
  EXPECT_TRUE(orders(scores).equal(orders(-distances)));
  EXPECT_TRUE(orders(scores.t()).equal(orders(-distances.t())));
  // The D + 1 numbers of the model card, and what ours add: 1/c.
  const at::Tensor plain =
      at::mm(at::cat({t, -time_components(t, c)}, 1), at::cat({v, time_components(v, c)}, 1).t());
  EXPECT_TRUE(orders(plain).equal(orders(-distances)));
  expect_close(scores, plain + 1 / c, 1e-6 * plain.abs().max().item<double>(), "product");
}

TEST(RowRanking, RecallIsThatOfDistances) {
  const EmbeddingSet set = random_set();
  const OutcomeTable table = measure_split(RowRanking(scalars(), {}).texts_ask(set), {1, 5}).table;
  const at::Tensor c = at::full({}, 0.3).to(at::kDouble).exp();
  const at::Tensor t = lift_embeddings(set.safe_text, scalars().alpha_text, c);
  const at::Tensor v = lift_embeddings(set.safe_image, scalars().alpha_image, c);
  const at::Tensor d = lorentz_distances(t, v, c);
  for (const auto& [task, own] :
       {std::pair("text_to_image", d), std::pair("image_to_text", d.t())}) {
    const at::Tensor rank = own.lt(own.diagonal().unsqueeze(1)).sum(1) + 1;
    for (const std::int64_t k : {1, 5}) {
      const double expected = 100 * rank.le(k).to(at::kDouble).mean().item<double>();
      double found = -1;
      for (const OutcomeColumn& column : table.columns) {
        if (column.keys == std::vector<std::string>{"retrieval", task, "r@" + std::to_string(k)})
          found = percent_of(column);
      }
      EXPECT_NEAR(found, expected, 1e-9) << task << " " << k;
    }
  }
}

TEST(RowRanking, TraversalMovesWhatLiesBeyondTheBoundary) {
  const EmbeddingSet set = random_set();
  const double c = std::exp(static_cast<double>(0.3F));
  for (const Traversal traversal : {Traversal::kCode, Traversal::kGeodesic}) {
    EvaluateOptions options;
    options.traversal = traversal;
    RowRanking ranking(scalars(), options);
    ASSERT_TRUE(ranking.moves());
    const RadiusBounds bounds = ranking.find_bounds("validation", set, set.safe_image);
    ranking.set_bounds(bounds);
    const at::Tensor safe =
        set.safe_text.to(at::kDouble).norm(2, {1}) * std::exp(static_cast<double>(-0.9F));
    EXPECT_NEAR(bounds.text.up_95, at::quantile(safe, 0.95).item<double>(), 1e-9);
    EXPECT_NEAR(bounds.text.mean, safe.mean().item<double>(), 1e-9);
    const double limit = bounds.text.up_95 + std::tanh((bounds.text.up_95 - 0.8) / c) + 1;
    const double length =
        traversal == Traversal::kCode ? limit : std::sinh(std::sqrt(c) * limit) / std::sqrt(c);
    const at::Tensor radius =
        set.unsafe_text.to(at::kDouble).norm(2, {1}) * std::exp(static_cast<double>(-0.9F));
    const at::Tensor is_out = radius.gt(limit);
    const auto count = is_out.sum().item<std::int64_t>();
    ASSERT_GT(count, 5);
    ASSERT_LT(count, kRows);
    const at::Tensor before = ranking.texts(set.unsafe_text);
    const at::Tensor after = ranking.texts_ask(set).unsafe_text;
    const at::Tensor space = after.narrow(1, 0, kWidth).norm(2, {1}).to(at::kDouble);
    expect_close(space.index({is_out}), at::full({count}, length, at::kDouble), 1e-4, "moved");
    EXPECT_TRUE(after.index({is_out.logical_not()}).equal(before.index({is_out.logical_not()})));
    // Along its own direction; what is searched stays.
    const auto row = is_out.nonzero()[0].item<std::int64_t>();
    EXPECT_NEAR(cosine(after[row].narrow(0, 0, kWidth), set.unsafe_text[row]), 1, 1e-6);
    EXPECT_TRUE(ranking.texts_ask(set).unsafe_image.equal(ranking.images(set.unsafe_image)));
    EXPECT_TRUE(ranking.images_ask(set).unsafe_text.equal(before));
    const OrderedJson json = ranking.json(set);
    EXPECT_EQ(json["traversal"]["moved_rows"]["unsafe_text"], count);
    EXPECT_EQ(json["radii"]["unsafe_image"]["n"], kRows - 1);
    EXPECT_NEAR(json["traversal"]["boundary"]["text"].get<double>(), limit, 1e-9);
  }
}

// Tasks whose queries are pictures come from the second set.
TEST(RowRanking, PicturesAskWithRowsOfTheirOwn) {
  const EmbeddingSet plain = RowRanking(scalars(), {}).items(random_set());
  EmbeddingSet turned = plain;
  turned.safe_image = -plain.safe_image;
  const OutcomeTable one = measure_split(plain, {1}).table;
  const OutcomeTable two = measure_split(turned, {1}).table;
  const OutcomeTable mixed = measure_split(plain, {1}, nullptr, {}, &turned).table;
  ASSERT_EQ(mixed.columns.size(), one.columns.size());
  std::size_t checked = 0;
  for (std::size_t i = 0; i < mixed.columns.size(); ++i) {
    const std::vector<std::string>& keys = mixed.columns[i].keys;
    if (keys[0] == "by_tag") continue;
    const std::string& name = keys[0] == "retrieval" ? keys[1] : keys[1];
    const bool is_mixed = name == "gs" || name == "ps" || name == "pu";
    const bool is_image = keys[0] == "retrieval"    ? name.find("image_to") != std::string::npos
                          : keys[0] == "safeground" ? name.starts_with("pv") || name == "txt"
                                                    : name.ends_with("image");
    if (is_mixed) continue;
    const std::vector<float>& expected = (is_image ? two : one).columns[i].value;
    for (std::size_t n = 0; n < expected.size(); ++n) {
      EXPECT_TRUE(expected[n] == mixed.columns[i].value[n] ||
                  (std::isnan(expected[n]) && std::isnan(mixed.columns[i].value[n])))
          << keys[0] << " " << name;
    }
    ++checked;
  }
  EXPECT_GT(checked, 20U);
}

TEST(RowRanking, CosineIsOfNormalizedRows) {
  const EmbeddingSet set = random_set();
  EvaluateOptions options;
  options.score = ScoreKind::kCosine;
  const RowRanking ranking(scalars(), options);
  expect_close(ranking.texts(set.safe_text).norm(2, {1}), at::ones({kRows}), 1e-6, "norm");
  EXPECT_EQ(ranking.json(set)["score"], "cosine");
  EXPECT_FALSE(ranking.moves());
  const RowRanking plain;
  EXPECT_TRUE(plain.texts(set.safe_text).equal(set.safe_text));
  EXPECT_TRUE(plain.json(set).is_null());
  // Classes: the mean of unit prompts, or by distance the mean before the lift.
  const at::Tensor prompts = set.safe_text.view({8, 5, kWidth});
  const at::Tensor unit = ranking.texts(set.safe_text).view({8, 5, kWidth}).mean(1);
  expect_close(ranking.classes(prompts), unit / unit.norm(2, {1}, true), 1e-6, "cosine");
  const RowRanking lorentz(scalars(), {});
  expect_close(lorentz.classes(prompts), lorentz.texts(prompts.mean(1)), 0, "lorentz");
}

}  // namespace
}  // namespace saferclip
