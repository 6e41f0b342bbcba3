// From picture files to the square uint8 pixels that a vision tower takes, bit-equal to Pillow
// followed by the resize and crop of the source's client.
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

// Largest picture file; larger ones are refused before they are read.
inline constexpr std::uint64_t kMaxPictureBytes = std::uint64_t{1} << 28U;

struct DecodeOptions {
  // Apply the EXIF (or XMP) orientation. Pillow and CLIP's clients ignore it, except for TIFF,
  // which Pillow and this program always rotate.
  bool exif_rotate = false;
  std::int64_t max_pixels = 178956970;  // Pillow's limit for decompression bombs
};

// Decodes JPEG, PNG, WebP, BMP or TIFF bytes to the RGB of Pillow's `convert("RGB")`: alpha
// dropped, palette and gray expanded, 16-bit gray by its high byte, CMYK within one level. Throws
// DataError with the reason: not a picture, truncated, too large, unsupported. `name` is for
// messages.
Image decode_image(std::string_view bytes, const std::string& name,
                   const DecodeOptions& options = {});

// Reads and decodes a file. Throws DataError as above and if the file is missing.
Image load_image(const std::filesystem::path& path, const DecodeOptions& options = {});

// Pillow's fixed-point resampling (Pillow 9 … 13, `Image.resize` on 8-bit RGB).
Image resize_image(const Image& image, std::int64_t width, std::int64_t height,
                   Interpolation interpolation);

// Resize and center crop of the source's client; the result is image_size x image_size, padded with
// `fill` where the resized picture is smaller.
Image preprocess_image(const Image& image, const Preprocessing& preprocessing);

// decode_image and preprocess_image in one, with the treatment of transparency and palettes that
// `preprocessing` asks for. A JPEG is resized while it is decoded, without holding the whole
// picture in memory and without decoding rows below the crop. Throws DataError as decode_image
// does.
Image decode_preprocessed(std::string_view bytes, const std::string& name,
                          const Preprocessing& preprocessing, const DecodeOptions& options = {});
Image load_preprocessed(const std::filesystem::path& path, const Preprocessing& preprocessing,
                        const DecodeOptions& options = {});

// PNG bytes of an RGB image.
std::string encode_png(const Image& image);
// JPEG bytes of an RGB image at quality 85, for thumbnails.
std::string encode_jpeg(const Image& image);

}  // namespace saferclip
