// Golden values: the equations of HySAC computed by PyTorch in float64 on G_p[i, j] =
// sin(0.7 i + 1.3 j + p).
#include "saferclip/objective/lorentz.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "objective/hysac_terms.h"
#include "saferclip/core/error.h"
#include "support/tensors.h"

namespace saferclip {
namespace {

at::Tensor golden(double phase) {
  const at::Tensor i = at::arange(4, at::kDouble).unsqueeze(1) * 0.7;
  const at::Tensor j = at::arange(5, at::kDouble).unsqueeze(0) * 1.3;
  return (i + j + phase).sin();
}

at::Tensor leaf(double value) { return at::full({}, value, at::kDouble).requires_grad_(true); }

HysacRows golden_rows() {
  HysacRows rows;
  rows.tuned = {golden(0), golden(0.3), golden(1.1), golden(1.7)};
  rows.tuned.for_each([](at::Tensor& tensor) { tensor.requires_grad_(true); });
  rows.scalars = {leaf(0.1), leaf(-0.9), leaf(-0.8), leaf(std::log(1 / 0.07))};
  rows.with_unsafe = rows.with_unsafe_image = at::ones({4}, at::kDouble);
  rows.rows = rows.unsafe_rows = rows.unsafe_image_rows = 4;
  return rows;
}

const std::map<std::string, double>& golden_terms() {
  static const std::map<std::string, double> kTerms{
      {"contrast_safe", 0.243752872698},         {"contrast_unsafe", 3.569233172255},
      {"contrast_unsafe_image", 7.218174494348}, {"contrast_unsafe_text", 4.987752289319},
      {"entail_safe", 1.181178065239},           {"entail_unsafe", 1.519387192777},
      {"entail_cross", 1.918503292731}};
  return kTerms;
}

TEST(Lorentz, TermsAndGradientsOfHysacAreTheGoldenOnes) {
  const HysacRows rows = golden_rows();
  const HysacTerms terms(rows);
  at::Tensor total = at::zeros({}, at::kDouble);
  for (const auto& [name, value] : golden_terms()) {
    const at::Tensor found = terms.value(name);
    EXPECT_NEAR(found.item<double>(), value, 1e-10) << name;
    total = total + found / 49;
  }
  EXPECT_THROW(terms.value("contrast"), Error);
  EXPECT_NEAR(total.item<double>(), 0.421183293456, 1e-10);
  total.backward();
  EXPECT_NEAR(rows.scalars.alpha_image.grad().item<double>(), -6.902602890e-2, 1e-10);
  EXPECT_NEAR(rows.scalars.alpha_text.grad().item<double>(), 4.356425105e-1, 1e-10);
  EXPECT_NEAR(rows.scalars.curvature.grad().item<double>(), 2.819082160e-2, 1e-10);
  EXPECT_NEAR(rows.scalars.logit_scale.grad().item<double>(), 3.102345491e-1, 1e-10);
  const auto norm = [](const at::Tensor& tensor) { return tensor.grad().norm().item<double>(); };
  EXPECT_NEAR(norm(rows.tuned.safe_text), 6.334290255e-2, 1e-10);
  EXPECT_NEAR(norm(rows.tuned.safe_image), 3.609893555e-2, 1e-10);
  EXPECT_NEAR(norm(rows.tuned.unsafe_text), 1.234494707e-1, 1e-10);
  EXPECT_NEAR(norm(rows.tuned.unsafe_image), 9.583157875e-2, 1e-10);
}

// A row without an unsafe picture, or not in the unsafe terms at all, counts as if it were not
// there, whatever stands in its place.
TEST(Lorentz, RowsWithoutUnsafeItemsAreLeftOut) {
  HysacRows masked = golden_rows();
  masked.with_unsafe = at::tensor({1.0, 1.0, 1.0, 0.0}, at::kDouble);
  masked.with_unsafe_image = at::tensor({1.0, 1.0, 0.0, 0.0}, at::kDouble);
  masked.unsafe_rows = 3;
  masked.unsafe_image_rows = 2;
  const auto first = [](std::int64_t count) {
    HysacRows rows = golden_rows();
    rows.tuned.for_each([&](at::Tensor& tensor) { tensor = tensor.narrow(0, 0, count); });
    rows.with_unsafe = rows.with_unsafe_image = at::ones({count}, at::kDouble);
    rows.rows = rows.unsafe_rows = rows.unsafe_image_rows = static_cast<double>(count);
    return rows;
  };
  const HysacTerms terms(masked), of_two(first(2)), of_three(first(3));
  for (const auto& [name, value] : golden_terms()) {
    const bool has_picture =
        name == "contrast_unsafe" || name == "contrast_unsafe_image" || name == "entail_unsafe";
    const bool has_caption = name == "contrast_unsafe_text" || name == "entail_cross";
    const double expected = has_picture   ? of_two.value(name).item<double>()
                            : has_caption ? of_three.value(name).item<double>()
                                          : value;
    EXPECT_NEAR(terms.value(name).item<double>(), expected, 1e-10) << name;
  }
}

TEST(Lorentz, ARadiusIsTheLengthBeforeTheLift) {
  at::manual_seed(3);
  const at::Tensor u = at::randn({20, 6}, at::kDouble) * at::linspace(0.01, 0.8, 20).unsqueeze(1);
  for (const double c : {0.1, 1.0, 7.5}) {
    const at::Tensor curvature = at::full({}, c, at::kDouble);
    const at::Tensor x = lift(u, curvature);
    expect_close(radii(x, curvature), u.norm(2, {1}), 1e-12, "radius");
    // … which is also the distance from the origin, a point like any other.
    const at::Tensor origin = at::zeros({1, 6}, at::kDouble);
    expect_close(lorentz_distances(x, origin, curvature).squeeze(1), u.norm(2, {1}), 1e-7,
                 "distance from the origin");
  }
  const at::Tensor one = at::ones({}, at::kDouble);
  expect_close(lift_embeddings(u.to(at::kFloat), at::full({}, -0.5), one),
               lift(u.to(at::kFloat).to(at::kDouble) * std::exp(-0.5), one), 1e-15,
               "fp32 rows in float64");
}

TEST(Lorentz, PointsInsideAConeAreNotPenalised) {
  const at::Tensor c = at::ones({}, at::kDouble);
  const at::Tensor u = golden(0.4);
  // Farther out in the same direction is inside, at the same distance elsewhere is not.
  const at::Tensor x = lift(u, c);
  EXPECT_EQ(outside_cone(x, lift(u * 2, c), c).abs().max().item<double>(), 0);
  EXPECT_GT(outside_cone(x, lift(-u, c), c).min().item<double>(), 1);
  EXPECT_GT(outside_cone(x, lift(u / 2, c), c).min().item<double>(), 0.5);
  // A cone is the narrower, the farther out its apex: ω = asin(0.2 / |x|).
  const at::Tensor aside = u + at::tensor({0.3, -0.2, 0.1, 0.2, -0.3}, at::kDouble);
  EXPECT_LT(outside_cone(lift(u * 0.1, c), lift(aside * 3, c), c).max().item<double>(),
            outside_cone(lift(u * 2, c), lift(aside * 3, c), c).max().item<double>());
}

TEST(Lorentz, EqualAndZeroPointsHaveFiniteGradients) {
  for (const at::Tensor& rows : {at::ones({3, 4}), at::zeros({3, 4})}) {
    HysacRows in = golden_rows();
    in.tuned.for_each([&](at::Tensor& tensor) { tensor = rows.clone().requires_grad_(true); });
    in.scalars = initial_lorentz_scalars(4);
    LorentzScalars::for_each(
        in.scalars, [](const char* /*name*/, at::Tensor& value) { value.requires_grad_(true); });
    in.with_unsafe = in.with_unsafe_image = at::ones({3});
    const HysacTerms terms(in);
    at::Tensor total = at::zeros({}, at::kDouble);
    for (const auto& [name, value] : golden_terms()) total = total + terms.value(name);
    EXPECT_TRUE(std::isfinite(total.item<double>()));
    total.backward();
    in.tuned.for_each([](at::Tensor& tensor) {
      EXPECT_EQ(tensor.grad().dtype(), at::kFloat);
      EXPECT_TRUE(tensor.grad().isfinite().all().item<bool>());
    });
    LorentzScalars::for_each(in.scalars, [](const char* name, at::Tensor& value) {
      EXPECT_TRUE(std::isfinite(value.grad().item<double>())) << name;
    });
  }
  const at::Tensor c = at::ones({}, at::kDouble);
  const at::Tensor x = lift(golden(0), c);
  EXPECT_NEAR(lorentz_distances(x, x, c).diagonal().max().item<double>(), 1.414e-4, 1e-6);
}

TEST(Lorentz, ScalarsStayInTheirRanges) {
  LorentzScalars start = initial_lorentz_scalars(768);
  EXPECT_NEAR(start.alpha_text.item<double>(), std::log(1 / std::sqrt(768.0)), 1e-6);
  LorentzScalars same = initial_lorentz_scalars(768);
  clamp_lorentz_scalars(same);
  EXPECT_TRUE(same.logit_scale.equal(start.logit_scale));
  EXPECT_TRUE(same.alpha_image.equal(start.alpha_image));
  for (const double value : {-50.0, 50.0}) {
    LorentzScalars out{at::full({}, value), at::full({}, value), at::full({}, value),
                       at::full({}, value)};
    clamp_lorentz_scalars(out);
    EXPECT_NEAR(out.curvature.item<double>(), value < 0 ? std::log(0.1) : std::log(10), 1e-6);
    EXPECT_NEAR(out.alpha_text.item<double>(), value < 0 ? -50 : 0, 1e-6);
    EXPECT_NEAR(out.alpha_image.item<double>(), value < 0 ? -50 : 0, 1e-6);
    EXPECT_NEAR(out.logit_scale.item<double>(), value < 0 ? std::log(1 / 0.07) : 4.6052, 1e-6);
  }
}

}  // namespace
}  // namespace saferclip
