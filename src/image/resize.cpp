// Pillow's resampling for 8-bit channels: coefficients in 22-bit fixed point, rounded and clipped
// to 8 bits between the two passes. All bits equal Pillow's.
#include <algorithm>
#include <cmath>

#include "saferclip/core/error.h"
#include "saferclip/image/image.h"

namespace saferclip {
namespace {

constexpr int kPrecision = 22;

double cubic(double x) {
  constexpr double kA = -0.5;
  x = std::abs(x);
  if (x < 1) return ((kA + 2) * x - (kA + 3)) * x * x + 1;
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * kA;
  return 0;
}

double triangle(double x) {
  x = std::abs(x);
  return x < 1 ? 1 - x : 0;
}

// Weights of the output positions [begin, begin + count) of one axis.
struct Axis {
  std::vector<std::int64_t> first;  // first input sample of each output
  std::vector<std::int64_t> taps;
  std::vector<std::int32_t> weights;  // `stride` a position
  std::size_t stride = 0;
};

Axis make_axis(std::int64_t in, std::int64_t out, std::int64_t begin, std::int64_t count,
               Interpolation kind) {
  const double scale = static_cast<double>(in) / static_cast<double>(out);
  const double filter_scale = std::max(scale, 1.0);
  const double support = (kind == Interpolation::kBicubic ? 2.0 : 1.0) * filter_scale;
  Axis axis;
  axis.stride = static_cast<std::size_t>(std::ceil(support)) * 2 + 1;
  axis.weights.resize(axis.stride * static_cast<std::size_t>(count));
  std::vector<double> exact(axis.stride);
  for (std::int64_t i = 0; i < count; ++i) {
    const double centre = (static_cast<double>(begin + i) + 0.5) * scale;
    const std::int64_t low =
        std::max<std::int64_t>(0, static_cast<std::int64_t>(centre - support + 0.5));
    const std::int64_t high =
        std::min<std::int64_t>(in, static_cast<std::int64_t>(centre + support + 0.5));
    double sum = 0;
    for (std::int64_t x = 0; x < high - low; ++x) {
      const double position = (static_cast<double>(x + low) - centre + 0.5) * (1.0 / filter_scale);
      const double weight = kind == Interpolation::kBicubic ? cubic(position) : triangle(position);
      exact[static_cast<std::size_t>(x)] = weight;
      sum += weight;
    }
    for (std::int64_t x = 0; x < high - low; ++x) {
      double weight = exact[static_cast<std::size_t>(x)];
      if (sum != 0) weight /= sum;
      const double shifted = weight * (1 << kPrecision);
      axis.weights[static_cast<std::size_t>(i) * axis.stride + static_cast<std::size_t>(x)] =
          static_cast<std::int32_t>(shifted + (weight < 0 ? -0.5 : 0.5));
    }
    axis.first.push_back(low);
    axis.taps.push_back(high - low);
  }
  return axis;
}

std::uint8_t clip8(std::int32_t value) {
  return static_cast<std::uint8_t>(std::clamp(value >> kPrecision, 0, 255));
}

// Rows [row_begin, row_end) of the input, columns as the axis says.
Image horizontal_pass(const Image& image, const Axis& axis, std::int64_t row_begin,
                      std::int64_t row_end) {
  Image result;
  result.width = static_cast<std::int64_t>(axis.first.size());
  result.height = row_end - row_begin;
  result.pixels.resize(static_cast<std::size_t>(result.width * result.height * 3));
  std::uint8_t* out = result.pixels.data();
  for (std::int64_t y = row_begin; y < row_end; ++y) {
    const std::uint8_t* row = image.pixels.data() + y * image.width * 3;
    for (std::size_t x = 0; x < axis.first.size(); ++x) {
      const std::int32_t* weight = axis.weights.data() + x * axis.stride;
      const std::uint8_t* in = row + axis.first[x] * 3;
      std::int32_t r = 1 << (kPrecision - 1);
      std::int32_t g = r;
      std::int32_t b = r;
      for (std::int64_t k = 0; k < axis.taps[x]; ++k, in += 3) {
        r += in[0] * weight[k];
        g += in[1] * weight[k];
        b += in[2] * weight[k];
      }
      *out++ = clip8(r);
      *out++ = clip8(g);
      *out++ = clip8(b);
    }
  }
  return result;
}

// `row_begin` is the input row at which `image` starts.
Image vertical_pass(const Image& image, const Axis& axis, std::int64_t row_begin) {
  Image result;
  result.width = image.width;
  result.height = static_cast<std::int64_t>(axis.first.size());
  const auto row_bytes = static_cast<std::size_t>(image.width * 3);
  result.pixels.resize(row_bytes * axis.first.size());
  std::vector<std::int32_t> sums(row_bytes);
  for (std::size_t y = 0; y < axis.first.size(); ++y) {
    std::fill(sums.begin(), sums.end(), 1 << (kPrecision - 1));
    const std::int32_t* weights = axis.weights.data() + y * axis.stride;
    for (std::int64_t k = 0; k < axis.taps[y]; ++k) {
      const std::uint8_t* in =
          image.pixels.data() + static_cast<std::size_t>(axis.first[y] - row_begin + k) * row_bytes;
      const std::int32_t weight = weights[k];
      for (std::size_t x = 0; x < row_bytes; ++x) sums[x] += in[x] * weight;
    }
    std::transform(sums.begin(), sums.end(),
                   result.pixels.begin() + static_cast<std::ptrdiff_t>(y * row_bytes), clip8);
  }
  return result;
}

struct Window {
  std::int64_t x = 0;
  std::int64_t y = 0;
  std::int64_t width = 0;
  std::int64_t height = 0;
};

Image cut(const Image& image, const Window& window) {
  Image result;
  result.width = window.width;
  result.height = window.height;
  for (std::int64_t y = window.y; y < window.y + window.height; ++y) {
    const auto row = image.pixels.begin() + (y * image.width + window.x) * 3;
    result.pixels.insert(result.pixels.end(), row, row + window.width * 3);
  }
  return result;
}

// Pillow 13 starts with the rows when the height shrinks by more than twice what the width does
// (earlier versions never do); its result is rounded between the passes, so the order shows.
bool starts_with_rows(const Image& image, std::int64_t width, std::int64_t height) {
  return image.height > height && image.height - height > 2 * (image.width - width);
}

// The window of the picture resized to width x height, both sides changed; nothing outside of it is
// computed, so that extreme ratios cost no more than others.
Image resize_both(const Image& image, std::int64_t width, std::int64_t height, const Window& window,
                  Interpolation kind) {
  const Axis vertical = make_axis(image.height, height, window.y, window.height, kind);
  Axis horizontal = make_axis(image.width, width, window.x, window.width, kind);
  if (!starts_with_rows(image, width, height)) {
    const std::int64_t row_begin = vertical.first.front();
    const std::int64_t row_end = vertical.first.back() + vertical.taps.back();
    return vertical_pass(horizontal_pass(image, horizontal, row_begin, row_end), vertical,
                         row_begin);
  }
  const std::int64_t column_begin = horizontal.first.front();
  const std::int64_t column_end = horizontal.first.back() + horizontal.taps.back();
  for (std::int64_t& first : horizontal.first) first -= column_begin;
  const Image columns = cut(image, {column_begin, 0, column_end - column_begin, image.height});
  return horizontal_pass(vertical_pass(columns, vertical, 0), horizontal, 0, window.height);
}

Image resize_window(const Image& image, std::int64_t width, std::int64_t height,
                    const Window& window, Interpolation kind) {
  if (width != image.width && height != image.height)
    return resize_both(image, width, height, window, kind);
  if (width != image.width) {
    const Axis axis = make_axis(image.width, width, window.x, window.width, kind);
    return horizontal_pass(image, axis, window.y, window.y + window.height);
  }
  const Image columns = cut(image, {window.x, 0, window.width, image.height});
  if (height == image.height) return cut(columns, {0, window.y, window.width, window.height});
  return vertical_pass(columns, make_axis(image.height, height, window.y, window.height, kind), 0);
}

// floor (Hugging Face), or half to even (torchvision).
std::int64_t crop_offset(std::int64_t margin, CropRounding rounding) {
  if (rounding == CropRounding::kFloor) return margin / 2;
  return static_cast<std::int64_t>(std::nearbyint(static_cast<double>(margin) / 2));
}

}  // namespace

Image resize_image(const Image& image, std::int64_t width, std::int64_t height,
                   Interpolation interpolation) {
  return resize_window(image, width, height, {0, 0, width, height}, interpolation);
}

Image preprocess_image(const Image& image, const Preprocessing& p) {
  if (image.width < 1 || image.height < 1) throw DataError("a picture without pixels");
  const std::int64_t n = p.image_size;
  if (p.resize_mode == ResizeMode::kSquash) return resize_image(image, n, n, p.interpolation);
  const bool is_tall = image.height > image.width;
  const std::int64_t short_side = is_tall ? image.width : image.height;
  const std::int64_t long_side = is_tall ? image.height : image.width;
  const std::int64_t resized = n * long_side / short_side;
  const Window window{is_tall ? 0 : crop_offset(resized - n, p.crop_rounding),
                      is_tall ? crop_offset(resized - n, p.crop_rounding) : 0, n, n};
  return resize_window(image, is_tall ? n : resized, is_tall ? resized : n, window,
                       p.interpolation);
}

}  // namespace saferclip
