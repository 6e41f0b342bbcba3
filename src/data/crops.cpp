// Boxes are drawn on the CPU, each with its own counter-based generator. Pictures are cropped
// wherever they are, all by one call of ATen's grid sampler: a box is an affine map of the
// picture's square. A crop is only ever enlarged, so the resampling needs no antialiasing.
#include "saferclip/data/crops.h"

#include <ATen/ATen.h>

#include <array>
#include <cmath>

#include "saferclip/core/rng.h"

namespace saferclip {
namespace {

constexpr std::uint64_t kCropStream = 0xC209;
constexpr double kSmallestArea = 0.9;
constexpr double kLargestAspect = 4.0 / 3.0;
constexpr int kAttempts = 10;
// ATen's mode numbers in grid_sampler_2d.
constexpr std::int64_t kBicubic = 2;
constexpr std::int64_t kBorder = 1;

std::array<float, 4> draw_box(CounterRng& rng) {
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    const double area = kSmallestArea + (1 - kSmallestArea) * rng.uniform();
    const double aspect = std::pow(kLargestAspect, 2 * rng.uniform() - 1);
    const double width = std::sqrt(area * aspect);
    const double height = std::sqrt(area / aspect);
    if (width > 1 || height > 1) continue;
    const double left = (1 - width) * rng.uniform();
    const double top = (1 - height) * rng.uniform();
    return {static_cast<float>(left), static_cast<float>(top), static_cast<float>(width),
            static_cast<float>(height)};
  }
  return {0, 0, 1, 1};
}

}  // namespace

at::Tensor crop_boxes(std::uint64_t seed, std::int64_t step, const std::vector<std::int64_t>& rows,
                      PictureColumn column, HostMemory memory) {
  const auto count = static_cast<std::int64_t>(rows.size());
  at::Tensor boxes =
      at::empty({count, 4}, at::TensorOptions().dtype(at::kFloat).pinned_memory(is_pinned(memory)));
  auto* data = boxes.mutable_data_ptr<float>();
  for (const std::int64_t row : rows) {
    CounterRng rng(
        mix_bits(seed, {kCropStream, static_cast<std::uint64_t>(step),
                        static_cast<std::uint64_t>(row), static_cast<std::uint64_t>(column)}));
    for (const float value : draw_box(rng)) *data++ = value;
  }
  return boxes;
}

at::Tensor crop_pictures(const at::Tensor& pixels, const at::Tensor& boxes) {
  const std::int64_t count = pixels.size(0);
  if (count == 0) return pixels;
  const at::Tensor width = boxes.select(1, 2);
  const at::Tensor height = boxes.select(1, 3);
  const at::Tensor zero = at::zeros_like(width);
  // The picture spans -1 … 1: a box scales about 0 and shifts to the box's center.
  const at::Tensor middle_x = 2 * boxes.select(1, 0) + width - 1;
  const at::Tensor middle_y = 2 * boxes.select(1, 1) + height - 1;
  const at::Tensor maps =
      at::stack({width, zero, middle_x, zero, height, middle_y}, 1).view({count, 2, 3});
  const at::Tensor grid =
      at::affine_grid_generator(maps, {count, 3, pixels.size(1), pixels.size(2)}, false);
  const at::Tensor planes = pixels.permute({0, 3, 1, 2}).to(at::kFloat);
  at::Tensor cropped = at::grid_sampler_2d(planes, grid, kBicubic, kBorder, false);
  return cropped.round_().clamp_(0, 255).to(at::kByte).permute({0, 2, 3, 1}).contiguous();
}

}  // namespace saferclip
