// The two passes of Pillow's resampling for 8-bit channels: weights in 22-bit fixed point, rounded
// and clipped to 8 bits after each pass. Bit-equal to Pillow.
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
  std::vector<std::int32_t> weights;  // `stride` per output
  std::size_t stride = 0;

  std::int64_t input_begin() const { return first.front(); }
  std::int64_t input_end() const { return first.back() + taps.back(); }
};

// Resampling from `in` to `out` samples; the weights of outputs [begin, begin + count).
Axis make_axis(std::int64_t in, std::int64_t out, std::int64_t begin, std::int64_t count,
               Interpolation kind);

// A picture that is read row by row, top to bottom, so that it can be decoded while it is resized
// and is never in memory as a whole. A pixel is four bytes: red, green, blue, unused.
struct PictureRows {
  std::int64_t width = 0;
  std::int64_t height = 0;
  // Writes the `width` pixels of row `y`. Rows are requested in ascending order, each at most once.
  std::function<void(std::int64_t y, std::uint32_t* row)> read;
};

// Pixels of four bytes; rows are padded to whole vectors.
struct Raster {
  std::int64_t width = 0;
  std::int64_t height = 0;
  std::int64_t stride = 0;  // pixels from row to row
  std::vector<std::uint32_t> pixels;

  Raster(std::int64_t width, std::int64_t height);
  std::uint32_t* row(std::int64_t y) { return pixels.data() + y * stride; }
  const std::uint32_t* row(std::int64_t y) const { return pixels.data() + y * stride; }
};

// The argument must outlive the result.
PictureRows rows_of(const Image& image);
PictureRows rows_of(const Raster& raster);
Image to_image(const Raster& raster);

// Resamples rows [row_begin, row_end) along the axis.
Raster horizontal_pass(const PictureRows& rows, const Axis& axis, std::int64_t row_begin,
                       std::int64_t row_end);

// Resamples columns along the axis; `raster` starts at input row `row_begin`.
Raster vertical_pass(const Raster& raster, const Axis& axis, std::int64_t row_begin);

}  // namespace saferclip
