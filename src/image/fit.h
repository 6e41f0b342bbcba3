// Resize and crop of a picture that is read row by row.
#pragma once

#include "image/resample.h"

namespace saferclip {

struct Window {
  std::int64_t x = 0;
  std::int64_t y = 0;
  std::int64_t width = 0;
  std::int64_t height = 0;
};

// The window of a picture resized to width x height, and where it lies in what is made of it.
struct Fit {
  std::int64_t width = 0;
  std::int64_t height = 0;
  Window window;          // inside the resized picture
  Window ground;          // x, y: the window's place in the result; its width and height
  std::uint8_t fill = 0;  // around the window
};

// What a preprocessing makes of a picture. Throws DataError when it has no pixels.
Fit fit_of(std::int64_t width, std::int64_t height, const Preprocessing& preprocessing);

// Whether the picture cannot be resized while it is read: the columns are resized first, or single
// pixels are picked.
bool needs_whole_picture(std::int64_t width, std::int64_t height, const Fit& fit,
                         Interpolation kind);

// For pictures that are not needed as a whole. Nothing outside of the window is computed, so that
// extreme ratios cost no more than others.
Image fit_rows(const PictureRows& rows, const Fit& fit, Interpolation kind);

// The window alone, all four bytes of each pixel weighed.
Raster fit_raster(const Raster& picture, const Fit& fit, Interpolation kind);
// The window on its ground.
Image placed(const Raster& window, const Fit& fit);

}  // namespace saferclip
