// Resize, crop and padding, bit-equal to Pillow. Pillow's order of work is reproduced: horizontal
// pass, then vertical (with one exception since version 13), each rounded to 8 bits and each
// skipped if its size does not change. Only the window is computed.
#include <algorithm>
#include <cmath>
#include <tuple>

#include "image/fit.h"
#include "saferclip/core/error.h"
#include "saferclip/image/image.h"

namespace saferclip {
namespace {

Raster crop(const PictureRows& rows, const Window& window) {
  Raster result(window.width, window.height);
  std::vector<std::uint32_t> row(static_cast<std::size_t>(rows.width));
  for (std::int64_t y = 0; y < window.height; ++y) {
    rows.read(window.y + y, row.data());
    std::copy_n(row.begin() + window.x, window.width, result.row(y));
  }
  return result;
}

Raster whole_picture(const PictureRows& rows) {
  return crop(rows, {0, 0, rows.width, rows.height});
}

// Both sides change, the vertical pass first.
Raster columns_first(const PictureRows& rows, const Fit& fit, Interpolation kind) {
  const Window& window = fit.window;
  const Axis vertical = make_axis(rows.height, fit.height, window.y, window.height, kind);
  Axis horizontal = make_axis(rows.width, fit.width, window.x, window.width, kind);
  const std::int64_t begin = horizontal.input_begin();
  const std::int64_t end = horizontal.input_end();
  for (std::int64_t& first : horizontal.first) first -= begin;
  const Raster part = crop(rows, {begin, 0, end - begin, rows.height});
  const Raster columns = vertical_pass(part, vertical, 0);
  return horizontal_pass(rows_of(columns), horizontal, 0, window.height);
}

Raster rows_first(const PictureRows& rows, const Fit& fit, Interpolation kind) {
  const Window& window = fit.window;
  std::int64_t row_begin = window.y;
  std::int64_t row_end = window.y + window.height;
  Axis vertical;
  if (fit.height != rows.height) {
    vertical = make_axis(rows.height, fit.height, window.y, window.height, kind);
    row_begin = vertical.input_begin();
    row_end = vertical.input_end();
  }
  Raster resized = [&] {
    const std::int64_t height = row_end - row_begin;
    if (fit.width == rows.width) return crop(rows, {window.x, row_begin, window.width, height});
    const Axis axis = make_axis(rows.width, fit.width, window.x, window.width, kind);
    return horizontal_pass(rows, axis, row_begin, row_end);
  }();
  return fit.height == rows.height ? resized : vertical_pass(resized, vertical, row_begin);
}

// The input samples that Pillow's nearest filter picks for outputs [begin, begin + count). Its
// affine transform accumulates the step, and this must round the same way.
std::vector<std::int64_t> nearest_samples(std::int64_t in, std::int64_t out, std::int64_t begin,
                                          std::int64_t count) {
  const double step = static_cast<double>(in) / static_cast<double>(out);
  double position = step * 0.5;
  std::vector<std::int64_t> samples;
  for (std::int64_t i = 0; i < begin + count; ++i, position += step) {
    if (i < begin) continue;
    samples.push_back(std::clamp<std::int64_t>(static_cast<std::int64_t>(position), 0, in - 1));
  }
  return samples;
}

Raster nearest(const Raster& picture, const Fit& fit) {
  const Window& window = fit.window;
  const auto columns = nearest_samples(picture.width, fit.width, window.x, window.width);
  const auto rows = nearest_samples(picture.height, fit.height, window.y, window.height);
  Raster result(window.width, window.height);
  for (std::int64_t y = 0; y < window.height; ++y) {
    const std::uint32_t* from = picture.row(rows[static_cast<std::size_t>(y)]);
    std::uint32_t* to = result.row(y);
    for (const std::int64_t column : columns) *to++ = from[column];
  }
  return result;
}

// Pillow 13 runs the vertical pass first if the height shrinks by more than twice as much as the
// width (earlier versions never do). Rounding between the passes makes the order visible.
bool starts_with_columns(std::int64_t width, std::int64_t height, const Fit& fit) {
  return width != fit.width && height > fit.height && height - fit.height > 2 * (width - fit.width);
}

Raster window_of(const PictureRows& rows, const Fit& fit, Interpolation kind) {
  if (kind == Interpolation::kNearest) return nearest(whole_picture(rows), fit);
  return starts_with_columns(rows.width, rows.height, fit) ? columns_first(rows, fit, kind)
                                                           : rows_first(rows, fit, kind);
}

// Half the margin, negative if the picture is smaller than the crop: rounded down (Hugging Face) or
// half to even (torchvision, whose padding is the smaller half).
std::int64_t crop_offset(std::int64_t margin, CropRounding rounding) {
  const double half = static_cast<double>(margin) / 2;
  if (rounding == CropRounding::kFloor) return static_cast<std::int64_t>(std::floor(half));
  return static_cast<std::int64_t>(margin < 0 ? std::ceil(half) : std::nearbyint(half));
}

// The size of the resized picture.
std::pair<std::int64_t, std::int64_t> resized_size(std::int64_t width, std::int64_t height,
                                                   const Preprocessing& p) {
  const std::int64_t n = p.resize_to == 0 ? p.image_size : p.resize_to;
  switch (p.resize_mode) {
    case ResizeMode::kNone:
      return {width, height};
    case ResizeMode::kSquash:
      return {n, n};
    case ResizeMode::kLongest: {
      // open_clip's ResizeKeepRatio.
      const double ratio = static_cast<double>(std::max(width, height)) / static_cast<double>(n);
      const auto side = [ratio](std::int64_t length) {
        const double exact = static_cast<double>(length) / ratio;
        return std::max<std::int64_t>(1, static_cast<std::int64_t>(std::nearbyint(exact)));
      };
      return {side(width), side(height)};
    }
    case ResizeMode::kShortest:
      break;
  }
  const std::int64_t longest = n * std::max(width, height) / std::min(width, height);
  return height > width ? std::pair{n, longest} : std::pair{longest, n};
}

// One dimension of window and canvas: `from` and `size` of the crop, and its `target` position.
void fit_side(std::int64_t length, std::int64_t crop_length, CropRounding rounding,
              std::int64_t& from, std::int64_t& size, std::int64_t& target) {
  const std::int64_t offset = crop_offset(length - crop_length, rounding);
  from = std::max<std::int64_t>(0, offset);
  target = std::max<std::int64_t>(0, -offset);
  size = std::min(length, crop_length);
}

}  // namespace

Fit fit_of(std::int64_t width, std::int64_t height, const Preprocessing& p) {
  if (width < 1 || height < 1) throw DataError("an image without pixels");
  Fit fit;
  std::tie(fit.width, fit.height) = resized_size(width, height, p);
  const std::int64_t n = p.image_size;
  fit.canvas = {0, 0, n, n};
  fit.fill = static_cast<std::uint8_t>(p.fill);
  fit_side(fit.width, n, p.crop_rounding, fit.window.x, fit.window.width, fit.canvas.x);
  fit_side(fit.height, n, p.crop_rounding, fit.window.y, fit.window.height, fit.canvas.y);
  return fit;
}

bool needs_whole_picture(std::int64_t width, std::int64_t height, const Fit& fit,
                         Interpolation kind) {
  return kind == Interpolation::kNearest || starts_with_columns(width, height, fit);
}

Image put_on_canvas(const Raster& window, const Fit& fit) {
  if (window.width == fit.canvas.width && window.height == fit.canvas.height)
    return to_image(window);
  const Image inner = to_image(window);
  Image image{fit.canvas.width, fit.canvas.height, {}};
  image.pixels.assign(static_cast<std::size_t>(image.width * image.height * 3), fit.fill);
  for (std::int64_t y = 0; y < inner.height; ++y) {
    std::copy_n(inner.pixels.begin() + y * inner.width * 3, inner.width * 3,
                image.pixels.begin() + ((fit.canvas.y + y) * image.width + fit.canvas.x) * 3);
  }
  return image;
}

Image fit_rows(const PictureRows& rows, const Fit& fit, Interpolation kind) {
  return put_on_canvas(rows_first(rows, fit, kind), fit);
}

Raster fit_raster(const Raster& picture, const Fit& fit, Interpolation kind) {
  return window_of(rows_of(picture), fit, kind);
}

Image resize_image(const Image& image, std::int64_t width, std::int64_t height,
                   Interpolation interpolation) {
  const Fit fit{width, height, {0, 0, width, height}, {0, 0, width, height}, 0};
  return put_on_canvas(window_of(rows_of(image), fit, interpolation), fit);
}

Image preprocess_image(const Image& image, const Preprocessing& preprocessing) {
  const Fit fit = fit_of(image.width, image.height, preprocessing);
  return put_on_canvas(window_of(rows_of(image), fit, preprocessing.interpolation), fit);
}

}  // namespace saferclip
