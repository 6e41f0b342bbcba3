// A decoded picture before conversion to RGB, and its preprocessing.
#pragma once

#include <cstdint>
#include <vector>

#include "saferclip/image/image.h"

namespace saferclip {

struct Picture {
  Image image;
  std::vector<std::uint8_t> alpha;  // one per pixel; empty: opaque
  bool is_indexed = false;          // Pillow's modes P and 1, which it resizes by nearest pixel
  bool is_keyed = false;            // one color is transparent; Pillow's resize ignores that alpha
};

// Makes pixels of this gray transparent (a PNG's tRNS).
void make_gray_transparent(Picture& picture, std::uint32_t gray);

// Resize, crop and removal of alpha, in the order of the source's client (Transparency). Bit-equal
// to Pillow's alpha_composite and premultiplied resize.
Image preprocess_picture(const Picture& picture, const Preprocessing& preprocessing);

}  // namespace saferclip
