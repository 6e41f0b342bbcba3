// A decoded picture before it is made RGB, and what a preprocessing makes of it.
#pragma once

#include <cstdint>
#include <vector>

#include "saferclip/image/image.h"

namespace saferclip {

struct Picture {
  Image image;
  std::vector<std::uint8_t> alpha;  // one a pixel; empty: opaque
  bool is_indexed = false;          // Pillow's modes P and 1: resized by the nearest pixel there
  bool is_keyed = false;            // one colour is transparent: no alpha in Pillow's resize
};

// Pixels of this grey become transparent (a PNG's tRNS).
void make_grey_transparent(Picture& picture, std::uint32_t grey);

// Resize, crop and the colours of transparent pixels, in the order of the source's client
// (Transparency). Bit-equal to Pillow's alpha_composite and premultiplied resize.
Image preprocess_picture(const Picture& picture, const Preprocessing& preprocessing);

}  // namespace saferclip
