// Golden values: NumPy in float64, by other ways than the program's: singular vectors instead of
// eigenvectors, LEACE in its whitening form, ridge as stacked least squares, scores one by one.
#include "saferclip/objective/closed_form.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "saferclip/core/error.h"
#include "saferclip/model/trained.h"
#include "saferclip/objective/sign_flips.h"
#include "saferclip/weights/weights.h"
#include "support/message_of.h"

namespace saferclip {
namespace {

using ::testing::HasSubstr;
constexpr std::int64_t kPairs = 12, kWidth = 4;

// Row i, column j: sin(1 + 0.37 i² + 0.61 j² + 0.13 ij + phase) + 0.2 j.
at::Tensor rows(double phase, std::int64_t count = kPairs) {
  const at::Tensor i = at::arange(count, at::kDouble).unsqueeze(1);
  const at::Tensor j = at::arange(kWidth, at::kDouble).unsqueeze(0);
  return at::sin(1 + 0.37 * i * i + 0.61 * j * j + 0.13 * i * j + phase) + 0.2 * j;
}

at::Tensor unsafe_rows() { return rows(0.9) + 0.3; }

at::Tensor matrix(const std::vector<double>& values, std::int64_t width = kWidth) {
  return at::tensor(values, at::kDouble).view({-1, width});
}

double off(const at::Tensor& a, const at::Tensor& b) { return (a - b).abs().max().item<double>(); }

double figure(const SolvedMap& solved, const std::string& name) {
  for (const auto& [found, value] : solved.figures) {
    if (found == name) return value;
  }
  return -1;
}

// Covariance of the rows with their class.
at::Tensor class_covariance(const at::Tensor& safe, const at::Tensor& unsafe) {
  return (unsafe.mean(0) - safe.mean(0)) / 4;
}

TEST(ClosedForm, ProjectTakesOutTheMainDifferences) {
  const at::Tensor safe = rows(0), unsafe = unsafe_rows();
  const SolvedMap solved = solve_project(safe, unsafe, 2, 0.75, "text embeddings");
  const at::Tensor golden =
      matrix({0.3048081445398, -0.1365727149985, -0.1392811656630, -0.0071292430489,
              -0.1365727149985, 0.7732554349024, 0.1818351196568, -0.2587068008368,
              -0.1392811656630, 0.1818351196568, 0.7531837601010, 0.2678258198854, -0.0071292430489,
              -0.2587068008368, 0.2678258198854, 0.6687526604567});
  EXPECT_LT(off(solved.map, golden), 1e-12);
  EXPECT_NEAR(figure(solved, "difference_share"), 0.733711942776194, 1e-12);
  EXPECT_NEAR(figure(solved, "next_share"), 0.176540851917833, 1e-12);
  // Of strength 1: a projection.
  const at::Tensor whole = solve_project(safe, unsafe, 2, 1, "text embeddings").map;
  EXPECT_LT(off(at::mm(whole, whole), whole), 1e-12);
}

TEST(ClosedForm, LeaceErasesTheClassWithOneRank) {
  const at::Tensor safe = rows(0), unsafe = unsafe_rows();
  const SolvedMap solved = solve_leace(safe, unsafe, 0, "text embeddings");
  const at::Tensor golden =
      matrix({0.7435645566293, -0.2666890080847, -0.6093546574263, -0.2915238916882,
              -0.0006299762253, 0.9993448341912, -0.0014969808460, -0.0007161768220,
              -0.2725635267701, -0.2834619724908, 0.3523209884765, -0.3098588050538,
              -0.0837682441600, -0.0871177152829, -0.1990542689901, 0.9047696207029});
  EXPECT_LT(off(solved.map, golden), 1e-12);
  EXPECT_NEAR(figure(solved, "explained"), 0.519956234956815, 1e-12);
  EXPECT_EQ(at::linalg_matrix_rank(solved.map, 1e-9, false).item<std::int64_t>(), kWidth - 1);
  const at::Tensor left =
      class_covariance(at::mm(safe, solved.map.t()), at::mm(unsafe, solved.map.t()));
  EXPECT_LT(left.abs().max().item<double>(), 1e-14);
}

// A LayerNorm before a square projection takes one dimension from the rows.
TEST(ClosedForm, LeaceLeavesOutConstantDirections) {
  const auto with_sum = [](const at::Tensor& x) { return at::cat({x, 1 - x.sum(1, true)}, 1); };
  const at::Tensor safe = with_sum(rows(0)), unsafe = with_sum(unsafe_rows());
  EXPECT_THAT(message_of<DataError>([&] { solve_leace(safe, unsafe, 0, "text embeddings"); }),
              HasSubstr("of width 5 is singular (rank 4)"));
  const at::Tensor map = solve_leace(safe, unsafe, 1, "text embeddings").map;
  EXPECT_LT(
      class_covariance(at::mm(safe, map.t()), at::mm(unsafe, map.t())).abs().max().item<double>(),
      1e-14);
  const at::Tensor constant = at::ones({kWidth + 1}, at::kDouble);
  EXPECT_LT(off(at::mv(map, constant), constant), 1e-12);
  // Differences of rows are mapped as without it.
  const at::Tensor plain = solve_leace(rows(0), unsafe_rows(), 0, "").map;
  const at::Tensor d = safe - safe.narrow(0, 0, 1);
  EXPECT_LT(off(at::mm(d, map.t()).narrow(1, 0, kWidth), at::mm(d.narrow(1, 0, kWidth), plain.t())),
            1e-10);
}

TEST(ClosedForm, RidgeIsLeastSquares) {
  const at::Tensor safe = rows(0), unsafe = unsafe_rows(), target = rows(0.05);
  const SolvedMap solved = solve_ridge(safe, unsafe, target, {0.5, 0.02}, "text embeddings");
  const at::Tensor golden =
      matrix({0.8499952544096, -0.3766054598617, -0.1259407218516, 0.1784595476896, 0.1791039919098,
              0.7994360084160, -0.1414705975373, 0.0473496193590, -0.1659370452044,
              -0.0230506667067, 0.7881236367511, -0.0206885087897, 0.0779316863884, 0.0874781757624,
              -0.1425952151499, 0.8148196759067});
  EXPECT_LT(off(solved.map, golden), 1e-12);
  EXPECT_NEAR(figure(solved, "unsafe_error"), 0.516871138991163, 1e-12);
  EXPECT_NEAR(figure(solved, "safe_moved"), 0.036285967395490, 1e-12);
  // A large ridge holds the map at the identity.
  EXPECT_LT(off(solve_ridge(safe, unsafe, target, {1, 1e9}, "").map, at::eye(kWidth, at::kDouble)),
            1e-8);
}

// fp32 rows in several blocks give what float64 rows in one give.
TEST(ClosedForm, BlocksOfRowsAddUp) {
  const std::int64_t many = 10000;
  const at::Tensor safe = rows(0, many).to(at::kFloat), unsafe = rows(0.9, many).to(at::kFloat);
  const at::Tensor d = (unsafe.to(at::kDouble) - safe.to(at::kDouble));
  const at::Tensor u = std::get<2>(at::linalg_svd(d, false)).narrow(0, 0, 1);
  EXPECT_LT(off(solve_project(safe, unsafe, 1, 1, "").map,
                at::eye(kWidth, at::kDouble) - at::mm(u.t(), u)),
            1e-10);
}

TEST(ClosedForm, RowsThatDoNotDecideAreRefused) {
  const at::Tensor safe = rows(0, 2), unsafe = rows(0.9, 2);
  EXPECT_THAT(message_of<DataError>([&] { solve_project(safe, unsafe, 3, 1, "text embeddings"); }),
              HasSubstr("span only 2; lower it, or give more rows"));
  EXPECT_THAT(message_of<DataError>([&] { solve_leace(safe, unsafe, 0, "text embeddings"); }),
              HasSubstr("of width 4 is singular (rank 3)"));
  EXPECT_THAT(message_of<DataError>([&] { solve_leace(rows(0), rows(0), 0, "text embeddings"); }),
              HasSubstr("the same mean"));
  const at::Tensor zero = at::zeros({3, kWidth}, at::kDouble);
  EXPECT_THAT(message_of<DataError>([&] { solve_ridge(zero, zero, zero, {}, "text embeddings"); }),
              HasSubstr("all safe text embeddings are zero"));
}

constexpr std::int64_t kItems = 3, kTokens = 5, kOutputs = 3;

// sin(0.5 + 0.7 item + 0.31 token² + 0.53 j + 0.11 token j + phase).
at::Tensor token_inputs(double phase) {
  const at::Tensor b = at::arange(kItems, at::kDouble).view({-1, 1, 1});
  const at::Tensor k = at::arange(kTokens, at::kDouble).view({1, -1, 1});
  const at::Tensor j = at::arange(kWidth, at::kDouble).view({1, 1, -1});
  return at::sin(0.5 + 0.7 * b + 0.31 * k * k + 0.53 * j + 0.11 * k * j + phase);
}

TEST(SignFlips, ScoresAreMeansOverPairs) {
  const at::Tensor o = at::arange(kOutputs, at::kDouble).unsqueeze(1);
  const at::Tensor weight = at::cos(1.7 * o + 0.9 * at::arange(kWidth, at::kDouble));
  const at::Tensor is_real =
      at::arange(kTokens).unsqueeze(0) < at::tensor({5, 3, 2}, at::kLong).unsqueeze(1);
  const TokenSpread safe = token_spread(token_inputs(0), is_real);
  const TokenSpread unsafe = token_spread(1.3 * token_inputs(0.8), is_real);
  FlipScores whole, parts;
  whole.add(weight, safe, unsafe);
  for (std::int64_t i = 0; i < kItems; ++i) {
    const auto one = [i](const TokenSpread& all) {
      return TokenSpread{all.norm.narrow(0, i, 1), all.deviation.narrow(0, i, 1)};
    };
    parts.add(weight, one(safe), one(unsafe));
  }
  const at::Tensor golden =
      matrix({0.5977523800760, 0.8639218432362, 2.5452735396632, 5.8583404948764, 0.6127244137231,
              0.9813516757630, 3.4755354917632, 8.2970401494531, 0.5951799370409, 0.8875004949968,
              2.7511533257420, 6.4062182186373});
  EXPECT_LT(off(whole.scores(weight, false), golden), 1e-11);
  EXPECT_LT(off(whole.scores(weight, true), golden * weight.abs()), 1e-11);
  EXPECT_LT(off(parts.scores(weight, false), golden), 1e-11);
  const at::Tensor flips = highest_share(whole.scores(weight, true), 0.3);
  EXPECT_TRUE(flips.flatten().equal(
      at::tensor({0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1}, at::kLong).to(at::kBool)));
  EXPECT_EQ(highest_share(golden, 1).sum().item<std::int64_t>(), golden.numel());
}

// Inputs that are zero everywhere, or the same in every token, say nothing.
TEST(SignFlips, RatiosByZeroCountAsOne) {
  const at::Tensor is_real = at::ones({1, kTokens}, at::kBool);
  at::Tensor inputs = token_inputs(0).narrow(0, 0, 1).clone();
  inputs.select(2, 1).fill_(0);
  inputs.select(2, 2).fill_(0.5);
  FlipScores scores;
  const at::Tensor weight = at::ones({1, kWidth}, at::kDouble);
  scores.add(weight, token_spread(inputs, is_real), token_spread(inputs, is_real));
  EXPECT_LT(off(scores.scores(weight, false), at::ones({1, kWidth}, at::kDouble)), 1e-12);
}

class ClosedFormModel : public ::testing::Test {
 protected:
  ClosedFormModel() {
    ModelOptions options;
    options.weights = SAFERCLIP_FIXTURES "/model/quick_gelu";
    source_ = open_weights(options, 0);
    adapter_.method = AdapterMethod::kClosedForm;
  }

  std::vector<std::string> solved_names() {
    ClipModel model = load_clip(source_);
    std::vector<std::string> names;
    for (const NamedTensor& named : trained_tensors(make_trainable(model, {}, adapter_, 0))) {
      names.push_back(named.name);
    }
    return names;
  }

  WeightsSource source_;
  AdapterOptions adapter_;
};

TEST_F(ClosedFormModel, LeavesAreWhatIsSolvedFor) {
  EXPECT_THAT(solved_names(), ::testing::UnorderedElementsAre("visual_projection.weight",
                                                              "text_projection.weight"));
  adapter_.towers = Towers::kText;
  EXPECT_THAT(solved_names(), ::testing::ElementsAre("text_projection.weight"));
  adapter_.form = ClosedForm::kUwm;
  for (const std::string& name : solved_names()) {
    EXPECT_THAT(name, ::testing::MatchesRegex("text_model.*self_attn.out_proj.weight"));
  }
  adapter_.towers = Towers::kVision;
  for (const std::string& name : solved_names()) {
    EXPECT_THAT(name, ::testing::MatchesRegex("vision_model.*mlp.fc2.weight"));
  }
}

// A strength below 0 negates the change, one above 1 extrapolates it.
TEST_F(ClosedFormModel, StrengthsScaleTheChange) {
  adapter_.towers = Towers::kText;
  const at::Tensor base = source_.tensor("text_projection.weight").to(at::kFloat);
  const at::Tensor solved = base + at::arange(base.numel(), at::kFloat).view(base.sizes()) / 64;
  for (const double strength : {-1.0, 0.0, 0.5, 1.0, 2.0}) {
    ClipModel model = load_clip(source_);
    apply_trained(model, {{"text_projection.weight", solved}}, {}, adapter_, "test", strength);
    const at::Tensor expected = strength == 1 ? solved : base + (solved - base) * strength;
    EXPECT_TRUE(model.text.projection.equal(expected)) << strength;
  }
}

TEST_F(ClosedFormModel, WhatIsNotExactIsRefused) {
  ClipGeometry siglip = source_.geometry;
  siglip.family = Family::kSiglip;
  const auto refusal = [&](const ClipGeometry& geometry) {
    return message_of<ConfigError>([&] { require_applicable(adapter_, geometry); });
  };
  EXPECT_THAT(refusal(siglip), HasSubstr("attention pool with a residual sum"));
  adapter_.form = ClosedForm::kUwm;
  EXPECT_THAT(refusal(siglip), HasSubstr("reads its padding as text"));
  adapter_.form = ClosedForm::kProject;
  adapter_.towers = Towers::kText;
  adapter_.rank = source_.geometry.embed_dim;
  EXPECT_THAT(refusal(siglip), HasSubstr("can be taken out"));
  adapter_.rank -= 1;
  EXPECT_NO_THROW(require_applicable(adapter_, siglip));
}

}  // namespace
}  // namespace saferclip
