#include "saferclip/data/crops.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <numeric>

#include "support/tensors.h"

namespace saferclip {
namespace {

std::vector<std::int64_t> first_rows(std::int64_t count) {
  std::vector<std::int64_t> rows(static_cast<std::size_t>(count));
  std::iota(rows.begin(), rows.end(), 0);
  return rows;
}

at::Tensor safe_boxes(std::uint64_t seed, std::int64_t step,
                      const std::vector<std::int64_t>& rows) {
  return crop_boxes(seed, step, rows, PictureColumn::kSafe, HostMemory::kPageable);
}

TEST(Crops, BoxesAreInRange) {
  const at::Tensor boxes = safe_boxes(1, 2, first_rows(5000));
  const auto share = [&](const at::Tensor& is_met) {
    return is_met.to(at::kFloat).mean().item<double>();
  };
  const at::Tensor left = boxes.select(1, 0), top = boxes.select(1, 1), width = boxes.select(1, 2),
                   height = boxes.select(1, 3);
  const double slack = 1e-6;
  EXPECT_EQ(share(left.ge(0).logical_and(top.ge(0))), 1);
  EXPECT_EQ(share((left + width).le(1 + slack).logical_and((top + height).le(1 + slack))), 1);
  const at::Tensor area = width * height;
  EXPECT_EQ(share(area.ge(0.9 - slack).logical_and(area.le(1 + slack))), 1);
  const at::Tensor aspect = width / height;
  EXPECT_EQ(share(aspect.ge(0.75 - slack).logical_and(aspect.le(4.0 / 3 + slack))), 1);
  // Ten draws fail together for about one picture in six; the others use the whole range.
  EXPECT_NEAR(share(area.eq(1)), 0.17, 0.05);
  EXPECT_GT(share(area.lt(0.91)), 0.05);
  EXPECT_GT(share(aspect.gt(1.05)), 0.05);
  EXPECT_GT(share(left.gt(0.02)), 0.05);
}

TEST(Crops, ABoxIsAFunctionOfSeedStepRowAndColumn) {
  const at::Tensor boxes = safe_boxes(1, 2, first_rows(40));
  EXPECT_TRUE(at::equal(boxes, safe_boxes(1, 2, first_rows(40))));
  EXPECT_TRUE(at::equal(boxes[7], safe_boxes(1, 2, {30, 7})[1])) << "whatever stands beside it";
  EXPECT_FALSE(at::equal(boxes, safe_boxes(2, 2, first_rows(40))));
  EXPECT_FALSE(at::equal(boxes, safe_boxes(1, 3, first_rows(40))));
  EXPECT_FALSE(at::equal(
      boxes, crop_boxes(1, 2, first_rows(40), PictureColumn::kUnsafe, HostMemory::kPageable)));
  EXPECT_EQ(safe_boxes(1, 2, {}).size(0), 0);
}

TEST(Crops, TheWholePictureStaysAsItIs) {
  at::manual_seed(1);
  const at::Tensor pixels = at::randint(0, 256, {3, 21, 21, 3}, at::kByte);
  const at::Tensor whole = at::tensor({0.0F, 0.0F, 1.0F, 1.0F}).expand({3, 4});
  EXPECT_TRUE(at::equal(crop_pictures(pixels, whole), pixels));
  const at::Tensor none = pixels.narrow(0, 0, 0);
  EXPECT_EQ(crop_pictures(none, whole.narrow(0, 0, 0)).sizes(), none.sizes());
}

// Cubic interpolation keeps straight lines: each picture's box is seen in its values.
TEST(Crops, BoxesAreCutOut) {
  constexpr std::int64_t kSide = 64;
  const at::Tensor place = (at::arange(kSide, at::kFloat) + 0.5) / kSide;
  const at::Tensor x = place.view({1, kSide}).expand({kSide, kSide});
  const at::Tensor ramp = at::stack({x * 250, x.t() * 250, at::full({kSide, kSide}, 9)}, 2);
  const at::Tensor pixels = ramp.round().to(at::kByte).expand({2, kSide, kSide, 3}).contiguous();
  const at::Tensor boxes =
      at::tensor({0.25F, 0.125F, 0.5F, 0.75F, 0.1F, 0.2F, 0.6F, 0.5F}).view({2, 4});
  const at::Tensor cropped = crop_pictures(pixels, boxes).to(at::kFloat);
  for (std::int64_t i = 0; i < 2; ++i) {
    const at::Tensor left = boxes[i][0], top = boxes[i][1], width = boxes[i][2],
                     height = boxes[i][3];
    expect_close(cropped[i].select(2, 0), ((left + x * width) * 250), 1.1, "columns");
    expect_close(cropped[i].select(2, 1), ((top + x.t() * height) * 250), 1.1, "rows");
    expect_close(cropped[i].select(2, 2), at::full({kSide, kSide}, 9.0F), 0, "a plain colour");
  }
}

// Cubic curves overshoot beside an edge: black stays black and white white.
TEST(Crops, ValuesAreClamped) {
  const at::Tensor edge = at::cat({at::zeros({16}), at::full({16}, 255)}).to(at::kByte);
  const at::Tensor pixels = edge.view({1, 1, 32, 1}).expand({1, 32, 32, 3}).contiguous();
  const at::Tensor cropped =
      crop_pictures(pixels, at::tensor({0.03F, 0.02F, 0.95F, 0.96F}).view({1, 4}));
  const at::Tensor line = cropped[0][5].select(1, 0).to(at::kFloat);
  EXPECT_GE((line.narrow(0, 1, 31) - line.narrow(0, 0, 31)).min().item<float>(), 0);
  EXPECT_EQ(line[0].item<float>(), 0);
  EXPECT_EQ(line[31].item<float>(), 255);
}

TEST(GpuCrops, EqualTheCpus) {
  if (!at::hasCUDA()) GTEST_SKIP() << "no CUDA device";
  at::manual_seed(1);
  const at::Tensor pixels = at::randint(0, 256, {4, 56, 56, 3}, at::kByte);
  const at::Tensor boxes = safe_boxes(1, 2, first_rows(4));
  const at::Device device(at::kCUDA, 0);
  const at::Tensor there = crop_pictures(pixels.to(device), boxes.to(device)).to(at::kCPU);
  expect_close(there.to(at::kFloat), crop_pictures(pixels, boxes).to(at::kFloat), 1, "levels");
}

}  // namespace
}  // namespace saferclip
