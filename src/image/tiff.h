// Alpha and orientation of TIFF files. OpenCV's decoder (libtiff's RGBA interface) alters both; it
// is given the file without these tags, and they are applied here.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "image/picture.h"

namespace saferclip {

struct TiffTags {
  std::optional<int> orientation;  // tag 274
  int samples = 1;                 // per pixel
  std::optional<int>
      extra;  // tag 338, meaning of the last sample: 0 unknown, 1 premultiplied alpha, 2 alpha
};

TiffTags read_tiff_tags(std::string_view bytes);

// The file with orientation 1 and its alpha declared premultiplied, which libtiff passes on
// unchanged.
std::string with_plain_samples(std::string_view bytes);

// The decoded picture of such a file with the alpha of the original tags. Throws DataError for gray
// with alpha.
Picture with_tiff_alpha(Picture picture, const TiffTags& tags, const std::string& name);

}  // namespace saferclip
