// Pillow's integer arithmetic for alpha, step by step, since each rounding shows in the result.
// Which steps run depends on the mode that Pillow would have opened the file in, which is why
// Picture records palettes and color keys.
#include "image/picture.h"

#include <algorithm>

#include "image/fit.h"

namespace saferclip {
namespace {

// Pillow's SHIFTFORDIV255: value / 255 without a division.
std::uint32_t by_255(std::uint32_t value) { return ((value >> 8U) + value) >> 8U; }

// Pillow's alpha_composite on white: seven extra bits, rounded divisions.
std::uint8_t on_white(std::uint8_t color, std::uint8_t alpha) {
  if (alpha == 0) return 255;
  const std::uint32_t share = std::uint32_t{alpha} << 7U;
  const std::uint32_t sum = color * share + 255U * ((255U << 7U) - share);
  return static_cast<std::uint8_t>(by_255(sum + (0x80U << 7U)) >> 7U);
}

Image composited_on_white(const Picture& picture) {
  Image image = picture.image;
  for (std::size_t i = 0; i < picture.alpha.size(); ++i) {
    if (picture.alpha[i] == 255) continue;
    for (std::size_t c = 3 * i; c < 3 * i + 3; ++c)
      image.pixels[c] = on_white(image.pixels[c], picture.alpha[i]);
  }
  return image;
}

// Pillow resizes RGBA as RGBa: premultiplied() converts, divide_by_alpha() converts back.
Raster premultiplied(const Picture& picture) {
  const Image& image = picture.image;
  Raster raster(image.width, image.height);
  std::size_t i = 0;
  for (std::int64_t y = 0; y < image.height; ++y) {
    auto* out = reinterpret_cast<std::uint8_t*>(raster.row(y));
    for (std::int64_t x = 0; x < image.width; ++x, ++i, out += 4) {
      const std::uint32_t alpha = picture.alpha[i];
      for (std::size_t c = 0; c < 3; ++c)
        out[c] = static_cast<std::uint8_t>(by_255(image.pixels[3 * i + c] * alpha + 128));
      out[3] = static_cast<std::uint8_t>(alpha);
    }
  }
  return raster;
}

void divide_by_alpha(Raster& raster) {
  for (std::int64_t y = 0; y < raster.height; ++y) {
    auto* pixel = reinterpret_cast<std::uint8_t*>(raster.row(y));
    for (std::int64_t x = 0; x < raster.width; ++x, pixel += 4) {
      const std::uint32_t alpha = pixel[3];
      if (alpha == 0 || alpha == 255) continue;
      for (int c = 0; c < 3; ++c)
        pixel[c] = static_cast<std::uint8_t>(std::min(255U, 255U * pixel[c] / alpha));
    }
  }
}

// Pillow premultiplies only if it resizes; a crop alone leaves colors as they are.
bool is_resized(const Picture& picture, const Fit& fit) {
  return fit.width != picture.image.width || fit.height != picture.image.height;
}

}  // namespace

void make_gray_transparent(Picture& picture, std::uint32_t gray) {
  const auto count = picture.image.pixels.size() / 3;
  picture.alpha.resize(count);
  for (std::size_t i = 0; i < count; ++i)
    picture.alpha[i] = picture.image.pixels[3 * i] == gray ? 0 : 255;
}

Image preprocess_picture(const Picture& picture, const Preprocessing& preprocessing) {
  const bool is_opaque = picture.alpha.empty();
  if (preprocessing.transparency == Transparency::kOnWhite) {
    return preprocess_image(is_opaque ? picture.image : composited_on_white(picture),
                            preprocessing);
  }
  Preprocessing as_stored = preprocessing;
  if (picture.is_indexed) as_stored.interpolation = Interpolation::kNearest;
  const Fit fit = fit_of(picture.image.width, picture.image.height, preprocessing);
  if (is_opaque || picture.is_keyed || as_stored.interpolation == Interpolation::kNearest ||
      !is_resized(picture, fit)) {
    return preprocess_image(picture.image, as_stored);
  }
  Raster raster = fit_raster(premultiplied(picture), fit, preprocessing.interpolation);
  divide_by_alpha(raster);
  return put_on_canvas(raster, fit);
}

}  // namespace saferclip
