// Picture files to the square uint8 pixels that a vision tower takes, bit-equal to Pillow followed
// by the source client's resize and crop.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "saferclip/core/preprocessing.h"

namespace saferclip {

// Interleaved RGB, rows top to bottom, no padding: pixels[(y * width + x) * 3 + channel].
struct Image {
  std::int64_t width = 0;
  std::int64_t height = 0;
  std::vector<std::uint8_t> pixels;
};

// Of a file; what is larger is refused before it is read.
inline constexpr std::uint64_t kMaxPictureBytes = std::uint64_t{1} << 28U;

struct DecodeOptions {
  // Turn as the EXIF (or XMP) orientation says; Pillow and CLIP's clients ignore it, but for TIFF,
  // which Pillow always turns, and so does this program.
  bool exif_rotate = false;
  std::int64_t max_pixels = 178956970;  // Pillow's bound on decompression bombs
};

// JPEG, PNG, WebP, BMP or TIFF bytes to RGB as Pillow's `convert("RGB")` gives: alpha dropped,
// palette and grey expanded, 16-bit grey by its high byte, CMYK within one level.
// Throws DataError with the reason: not a picture, truncated, too large, unsupported. `name` is
// only used in messages.
Image decode_image(std::string_view bytes, const std::string& name,
                   const DecodeOptions& options = {});

// Reads and decodes a file. Throws DataError as above and when the file is missing.
Image load_image(const std::filesystem::path& path, const DecodeOptions& options = {});

// Pillow's fixed-point resampling (Pillow 9 … 13, `Image.resize` on 8-bit RGB).
Image resize_image(const Image& image, std::int64_t width, std::int64_t height,
                   Interpolation interpolation);

// Resize and centre crop as the source's client does; the result is image_size x image_size, filled
// up with `fill` where the resized picture is smaller.
Image preprocess_image(const Image& image, const Preprocessing& preprocessing);

// decode_image and preprocess_image in one, with what `preprocessing` makes of transparent pixels
// and palettes: an opaque JPEG is resized while it is decoded, without the whole picture in memory.
// Rows below the crop are not decoded. Throws DataError as decode_image does.
Image decode_preprocessed(std::string_view bytes, const std::string& name,
                          const Preprocessing& preprocessing, const DecodeOptions& options = {});
Image load_preprocessed(const std::filesystem::path& path, const Preprocessing& preprocessing,
                        const DecodeOptions& options = {});

// PNG bytes of an RGB image.
std::string encode_png(const Image& image);
// JPEG bytes of an RGB image, quality 85: for thumbnails.
std::string encode_jpeg(const Image& image);

}  // namespace saferclip
