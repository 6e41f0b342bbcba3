// The orientation that a picture file asks for.
#pragma once

#include <string_view>

#include "image/picture.h"
#include "image/structure.h"

namespace saferclip {

// The EXIF orientation, 1 … 8, where Pillow's ImageOps.exif_transpose looks for it: EXIF of JPEG
// and WebP, eXIf of PNG and its older text form, TIFF's own tag, else the XMP packet. 1 (unchanged)
// if there is none or if `options` does not ask for it; a TIFF's always counts, because Pillow's
// reader applies it.
int orientation_of(std::string_view bytes, PictureKind kind, const DecodeOptions& options);

// `picture` rotated and mirrored to orientation 1.
Picture apply_orientation(Picture picture, int orientation);

}  // namespace saferclip
