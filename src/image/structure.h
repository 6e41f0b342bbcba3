// What the bytes of a picture file claim to be, found without decoding: the decoder fills what is
// cut off with grey and says nothing.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace saferclip {

enum class PictureKind { kUnknown, kJpeg, kPng, kWebp, kBmp, kTiff };

struct PictureStructure {
  PictureKind kind = PictureKind::kUnknown;
  std::int64_t width = 0;  // 0 where only the decoder can tell
  std::int64_t height = 0;
  bool is_indexed = false;                // Pillow's modes P and 1: a palette, or one bit a pixel
  bool is_keyed = false;                  // a PNG without alpha, of which one colour is transparent
  std::optional<std::uint32_t> grey_key;  // of a grey PNG: the grey that is transparent
  std::string problem;                    // not a picture, truncated, damaged; empty: looks whole
};

PictureStructure examine_picture(std::string_view bytes);

}  // namespace saferclip
