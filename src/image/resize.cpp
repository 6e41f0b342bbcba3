#include <algorithm>
#include <cmath>

#include "image/fit.h"
#include "saferclip/core/error.h"
#include "saferclip/image/image.h"

namespace saferclip {
namespace {

Raster cut(const PictureRows& rows, const Window& window) {
  Raster result(window.width, window.height);
  std::vector<std::uint32_t> row(static_cast<std::size_t>(rows.width));
  for (std::int64_t y = 0; y < window.height; ++y) {
    rows.read(window.y + y, row.data());
    std::copy_n(row.begin() + window.x, window.width, result.row(y));
  }
  return result;
}

// Both sides change, the columns first.
Image fit_columns(const Image& image, const Fit& fit, Interpolation kind) {
  const Window& window = fit.window;
  const Axis vertical = make_axis(image.height, fit.height, window.y, window.height, kind);
  Axis horizontal = make_axis(image.width, fit.width, window.x, window.width, kind);
  const std::int64_t begin = horizontal.input_begin();
  const std::int64_t end = horizontal.input_end();
  for (std::int64_t& first : horizontal.first) first -= begin;
  const Raster part = cut(rows_of(image), {begin, 0, end - begin, image.height});
  const Raster columns = vertical_pass(part, vertical, 0);
  return to_image(horizontal_pass(rows_of(columns), horizontal, 0, window.height));
}

Image fit_image(const Image& image, const Fit& fit, Interpolation kind) {
  if (starts_with_columns(image.width, image.height, fit)) return fit_columns(image, fit, kind);
  return fit_rows(rows_of(image), fit, kind);
}

// floor (Hugging Face), or half to even (torchvision).
std::int64_t crop_offset(std::int64_t margin, CropRounding rounding) {
  if (rounding == CropRounding::kFloor) return margin / 2;
  return static_cast<std::int64_t>(std::nearbyint(static_cast<double>(margin) / 2));
}

}  // namespace

Fit fit_of(std::int64_t width, std::int64_t height, const Preprocessing& p) {
  if (width < 1 || height < 1) throw DataError("a picture without pixels");
  const std::int64_t n = p.image_size;
  if (p.resize_mode == ResizeMode::kSquash) return {n, n, {0, 0, n, n}};
  const bool is_tall = height > width;
  const std::int64_t resized = n * std::max(width, height) / std::min(width, height);
  const std::int64_t offset = crop_offset(resized - n, p.crop_rounding);
  if (is_tall) return {n, resized, {0, offset, n, n}};
  return {resized, n, {offset, 0, n, n}};
}

// Pillow 13 does so when the height shrinks by more than twice what the width does (earlier
// versions never do); its result is rounded between the passes, so the order shows.
bool starts_with_columns(std::int64_t width, std::int64_t height, const Fit& fit) {
  return width != fit.width && height > fit.height && height - fit.height > 2 * (width - fit.width);
}

Image fit_rows(const PictureRows& rows, const Fit& fit, Interpolation kind) {
  const Window& window = fit.window;
  std::int64_t row_begin = window.y;
  std::int64_t row_end = window.y + window.height;
  Axis vertical;
  if (fit.height != rows.height) {
    vertical = make_axis(rows.height, fit.height, window.y, window.height, kind);
    row_begin = vertical.input_begin();
    row_end = vertical.input_end();
  }
  const auto resized = [&] {
    const std::int64_t height = row_end - row_begin;
    if (fit.width == rows.width) return cut(rows, {window.x, row_begin, window.width, height});
    const Axis axis = make_axis(rows.width, fit.width, window.x, window.width, kind);
    return horizontal_pass(rows, axis, row_begin, row_end);
  }();
  return to_image(fit.height == rows.height ? resized
                                            : vertical_pass(resized, vertical, row_begin));
}

Image resize_image(const Image& image, std::int64_t width, std::int64_t height,
                   Interpolation interpolation) {
  return fit_image(image, {width, height, {0, 0, width, height}}, interpolation);
}

Image preprocess_image(const Image& image, const Preprocessing& preprocessing) {
  return fit_image(image, fit_of(image.width, image.height, preprocessing),
                   preprocessing.interpolation);
}

}  // namespace saferclip
