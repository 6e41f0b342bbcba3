// How a picture file says that it is to be turned.
#pragma once

#include <string_view>

#include "image/picture.h"
#include "image/structure.h"

namespace saferclip {

// The EXIF orientation, 1 … 8, as Pillow's ImageOps.exif_transpose finds it: JPEG's and WebP's
// EXIF, PNG's eXIf and its older text form, TIFF's own tag, and where none has one, the XMP packet.
// 1 (as it is) where there is none, or where `options` does not ask; of a TIFF always, since
// Pillow's reader turns those by itself.
int orientation_of(std::string_view bytes, PictureKind kind, const DecodeOptions& options);

// `picture` turned as the orientation says.
Picture turned(Picture picture, int orientation);

}  // namespace saferclip
