// What OpenCV's decoder (libtiff's RGBA interface) makes of a TIFF's alpha and orientation is not
// what the file holds: it is asked for the samples as they are, and the rest is done here.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "image/picture.h"

namespace saferclip {

struct TiffNotes {
  std::optional<int> orientation;  // tag 274
  int samples = 1;                 // a pixel
  std::optional<int> extra;        // of the last sample: 0 not said, 1 premultiplied, 2 alpha
};

TiffNotes read_tiff_notes(std::string_view bytes);

// The file without an orientation and with its alpha called premultiplied, which libtiff passes on.
std::string with_plain_samples(std::string_view bytes);

// The picture of such a file, with the alpha that the notes say. Throws DataError for grey with
// alpha.
Picture with_tiff_alpha(Picture picture, const TiffNotes& notes, const std::string& name);

}  // namespace saferclip
