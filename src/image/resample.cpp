// Both passes reduce to one loop, a weighted sum of runs of sixteen pixels, which the compiler
// vectorizes over the 64 bytes. For the horizontal pass sixteen rows are transposed first. Weights
// are computed in double and rounded to fixed point exactly as Pillow does; integer sums then leave
// no room for differences.
#include "image/resample.h"

#include <algorithm>
#include <cmath>

#include "saferclip/core/vectorized.h"

namespace saferclip {
namespace {

constexpr int kPrecision = 22;
// Sixteen pixels of four bytes are weighed at a time: neighbors in a row, or in a column.
constexpr std::int64_t kRun = 16;
constexpr std::int64_t kRunBytes = 4 * kRun;

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

double sinc(double x) {
  if (x == 0) return 1;
  x *= M_PI;
  return std::sin(x) / x;
}

double lanczos(double x) { return x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0; }

double box(double x) { return x > -0.5 && x <= 0.5 ? 1 : 0; }

double hamming(double x) {
  x = std::abs(x);
  if (x == 0) return 1;
  if (x >= 1) return 0;
  x *= M_PI;
  return std::sin(x) / x * (0.54 + 0.46 * std::cos(x));
}

// Pillow's filters with their half widths (kNearest picks pixels and has none).
struct Filter {
  double (*weight)(double);
  double support;
};

Filter filter_of(Interpolation kind) {
  switch (kind) {
    case Interpolation::kBilinear:
      return {triangle, 1};
    case Interpolation::kLanczos:
      return {lanczos, 3};
    case Interpolation::kBox:
      return {box, 0.5};
    case Interpolation::kHamming:
      return {hamming, 1};
    default:
      return {cubic, 2};
  }
}

// Weighted sum of `taps` runs, `step` bytes apart, rounded and clipped to bytes.
[[gnu::always_inline]] inline void weigh_run(const std::uint8_t* __restrict in, std::int64_t step,
                                             const std::int32_t* __restrict weights,
                                             std::int64_t taps, std::uint8_t* __restrict out) {
  std::int32_t sums[kRunBytes];
  for (std::int64_t j = 0; j < kRunBytes; ++j) sums[j] = 1 << (kPrecision - 1);
  for (std::int64_t k = 0; k < taps; ++k, in += step) {
    for (std::int64_t j = 0; j < kRunBytes; ++j) sums[j] += in[j] * weights[k];
  }
  for (std::int64_t j = 0; j < kRunBytes; ++j)
    out[j] = static_cast<std::uint8_t>(std::clamp(sums[j] >> kPrecision, 0, 255));
}

// Transposes sixteen rows: columns[x][row] for `count` columns.
[[gnu::always_inline]] inline void transpose_rows(const std::uint32_t* __restrict rows,
                                                  std::int64_t stride, std::int64_t count,
                                                  std::uint32_t* __restrict columns) {
  for (std::int64_t x = 0; x < count; ++x) {
    for (std::int64_t row = 0; row < kRun; ++row) columns[x * kRun + row] = rows[row * stride + x];
  }
}

// The outputs of the axis from transposed columns, the first of which is the axis's first input.
[[gnu::always_inline]] inline void weigh_columns(const std::uint8_t* in, const Axis& axis,
                                                 std::uint8_t* out) {
  for (std::size_t x = 0; x < axis.first.size(); ++x, out += kRunBytes) {
    weigh_run(in + (axis.first[x] - axis.first[0]) * kRunBytes, kRunBytes,
              axis.weights.data() + x * axis.stride, axis.taps[x], out);
  }
}

[[gnu::always_inline]] inline void weigh_rows(const std::uint8_t* in, std::int64_t row_bytes,
                                              const std::int32_t* weights, std::int64_t taps,
                                              std::uint8_t* out) {
  for (std::int64_t x = 0; x < row_bytes; x += kRunBytes)
    weigh_run(in + x, row_bytes, weights, taps, out + x);
}

const std::uint8_t* bytes_of(const std::uint32_t* pixels) {
  return reinterpret_cast<const std::uint8_t*>(pixels);
}
std::uint8_t* bytes_of(std::uint32_t* pixels) { return reinterpret_cast<std::uint8_t*>(pixels); }

}  // namespace

Axis make_axis(std::int64_t in, std::int64_t out, std::int64_t begin, std::int64_t count,
               Interpolation kind) {
  const double scale = static_cast<double>(in) / static_cast<double>(out);
  const double filter_scale = std::max(scale, 1.0);
  const Filter filter = filter_of(kind);
  const double support = filter.support * filter_scale;
  Axis axis;
  axis.stride = static_cast<std::size_t>(std::ceil(support)) * 2 + 1;
  axis.weights.resize(axis.stride * static_cast<std::size_t>(count));
  std::vector<double> exact(axis.stride);
  for (std::int64_t i = 0; i < count; ++i) {
    const double center = (static_cast<double>(begin + i) + 0.5) * scale;
    const std::int64_t low =
        std::max<std::int64_t>(0, static_cast<std::int64_t>(std::floor(center - support + 0.5)));
    const std::int64_t high =
        std::min<std::int64_t>(in, static_cast<std::int64_t>(std::floor(center + support + 0.5)));
    double sum = 0;
    for (std::int64_t x = 0; x < high - low; ++x) {
      const double position = (static_cast<double>(x + low) - center + 0.5) * (1.0 / filter_scale);
      const double weight = filter.weight(position);
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

Raster::Raster(std::int64_t columns, std::int64_t rows)
    : width(columns), height(rows), stride((columns + kRun - 1) / kRun * kRun) {
  pixels.resize(static_cast<std::size_t>(stride * height));
}

PictureRows rows_of(const Image& image) {
  return {image.width, image.height, [&image](std::int64_t y, std::uint32_t* row) {
            const std::uint8_t* in = image.pixels.data() + y * image.width * 3;
            std::uint8_t* out = bytes_of(row);
            for (std::int64_t x = 0; x < image.width; ++x, in += 3, out += 4) {
              out[0] = in[0];
              out[1] = in[1];
              out[2] = in[2];
              out[3] = 0;
            }
          }};
}

PictureRows rows_of(const Raster& raster) {
  return {raster.width, raster.height, [&raster](std::int64_t y, std::uint32_t* row) {
            std::copy_n(raster.row(y), raster.width, row);
          }};
}

Image to_image(const Raster& raster) {
  Image image{raster.width, raster.height, {}};
  image.pixels.resize(static_cast<std::size_t>(raster.width * raster.height * 3));
  std::uint8_t* out = image.pixels.data();
  for (std::int64_t y = 0; y < raster.height; ++y) {
    const std::uint8_t* in = bytes_of(raster.row(y));
    for (std::int64_t x = 0; x < raster.width; ++x, in += 4, out += 3) {
      out[0] = in[0];
      out[1] = in[1];
      out[2] = in[2];
    }
  }
  return image;
}

Raster horizontal_pass(const PictureRows& rows, const Axis& axis, std::int64_t row_begin,
                       std::int64_t row_end) {
  Raster result(static_cast<std::int64_t>(axis.first.size()), row_end - row_begin);
  const std::int64_t count = axis.input_end() - axis.input_begin();
  // An odd number of cache lines: sixteen rows of, say, 1024 pixels would otherwise compete for the
  // same few cache sets.
  const std::int64_t stride = (rows.width / (2 * kRun) * 2 + 3) * kRun;
  std::vector<std::uint32_t> band(static_cast<std::size_t>(stride * kRun));
  std::vector<std::uint32_t> columns(static_cast<std::size_t>(count * kRun));
  std::vector<std::uint32_t> weighed(static_cast<std::size_t>(result.width * kRun));
  for (std::int64_t y = 0; y < result.height; y += kRun) {
    const std::int64_t height = std::min(kRun, result.height - y);
    for (std::int64_t row = 0; row < height; ++row)
      rows.read(row_begin + y + row, band.data() + row * stride);
    vectorized([&] {
      transpose_rows(band.data() + axis.input_begin(), stride, count, columns.data());
      weigh_columns(bytes_of(columns.data()), axis, bytes_of(weighed.data()));
    });
    for (std::int64_t row = 0; row < height; ++row) {
      std::uint32_t* out = result.row(y + row);
      const std::uint32_t* in = weighed.data() + row;
      for (std::int64_t x = 0; x < result.width; ++x) out[x] = in[x * kRun];
    }
  }
  return result;
}

Raster vertical_pass(const Raster& raster, const Axis& axis, std::int64_t row_begin) {
  Raster result(raster.width, static_cast<std::int64_t>(axis.first.size()));
  for (std::int64_t y = 0; y < result.height; ++y) {
    const auto at = static_cast<std::size_t>(y);
    vectorized([&] {
      weigh_rows(bytes_of(raster.row(axis.first[at] - row_begin)), raster.stride * 4,
                 axis.weights.data() + at * axis.stride, axis.taps[at], bytes_of(result.row(y)));
    });
  }
  return result;
}

}  // namespace saferclip
