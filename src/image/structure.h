// The kind, size and completeness of a picture file, found without decoding, because decoders
// silently fill missing data with gray.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace saferclip {

enum class PictureKind { kUnknown, kJpeg, kPng, kWebp, kBmp, kTiff };

struct PictureStructure {
  PictureKind kind = PictureKind::kUnknown;
  std::int64_t width = 0;  // 0 if only the decoder can tell
  std::int64_t height = 0;
  bool is_indexed = false;                // Pillow's modes P and 1: a palette, or one bit per pixel
  bool is_keyed = false;                  // a PNG without alpha but with a transparent color
  std::optional<std::uint32_t> gray_key;  // of a gray PNG: the transparent gray
  std::string problem;  // not a picture, truncated, damaged; empty: looks complete
};

PictureStructure examine_picture(std::string_view bytes);

}  // namespace saferclip
