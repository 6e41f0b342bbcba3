// The two passes of Pillow's resampling for 8-bit channels: weights in 22-bit fixed point, rounded
// and clipped to 8 bits after each pass. All bits equal Pillow's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "saferclip/image/image.h"

namespace saferclip {

// Weights of the output positions [begin, begin + count) of one axis.
struct Axis {
  std::vector<std::int64_t> first;  // first input sample of each output
  std::vector<std::int64_t> taps;
  std::vector<std::int32_t> weights;  // `stride` a position
  std::size_t stride = 0;

  std::int64_t input_begin() const { return first.front(); }
  std::int64_t input_end() const { return first.back() + taps.back(); }
};

// `out` positions made of `in`; the weights of `count` of them from `begin` on.
Axis make_axis(std::int64_t in, std::int64_t out, std::int64_t begin, std::int64_t count,
               Interpolation kind);

// A picture that is read row by row, from top to bottom: decoded while it is resized, it never
// stands in memory as a whole. A pixel is four bytes: red, green, blue and one of no meaning.
struct PictureRows {
  std::int64_t width = 0;
  std::int64_t height = 0;
  // Writes the `width` pixels of row `y`. Rows are asked for in order, each at most once.
  std::function<void(std::int64_t y, std::uint32_t* row)> read;
};

// Pixels of four bytes; rows are padded so that vectors need no special end.
struct Raster {
  std::int64_t width = 0;
  std::int64_t height = 0;
  std::int64_t stride = 0;  // pixels from row to row
  std::vector<std::uint32_t> pixels;

  Raster(std::int64_t width, std::int64_t height);
  std::uint32_t* row(std::int64_t y) { return pixels.data() + y * stride; }
  const std::uint32_t* row(std::int64_t y) const { return pixels.data() + y * stride; }
};

// The rows of what must outlive them.
PictureRows rows_of(const Image& image);
PictureRows rows_of(const Raster& raster);
Image to_image(const Raster& raster);

// Rows [row_begin, row_end) of the input, columns as the axis says.
Raster horizontal_pass(const PictureRows& rows, const Axis& axis, std::int64_t row_begin,
                       std::int64_t row_end);

// `row_begin` is the input row at which `raster` starts.
Raster vertical_pass(const Raster& raster, const Axis& axis, std::int64_t row_begin);

}  // namespace saferclip
