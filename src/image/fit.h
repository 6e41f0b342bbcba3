// Resize, crop and padding as one geometry, applied to a picture that is read row by row.
#pragma once

#include "image/resample.h"

namespace saferclip {

struct Window {
  std::int64_t x = 0;
  std::int64_t y = 0;
  std::int64_t width = 0;
  std::int64_t height = 0;
};

// The picture is resized to width x height; `window` of it is put on a canvas.
struct Fit {
  std::int64_t width = 0;
  std::int64_t height = 0;
  Window window;          // within the resized picture
  Window canvas;          // width and height of the result; x, y: where the window goes
  std::uint8_t fill = 0;  // gray around the window
};

// The geometry of a preprocessing. Throws DataError for a picture without pixels.
Fit fit_of(std::int64_t width, std::int64_t height, const Preprocessing& preprocessing);

// Whether the picture cannot be resized while it is read, because columns are resized first or
// single pixels are picked.
bool needs_whole_picture(std::int64_t width, std::int64_t height, const Fit& fit,
                         Interpolation kind);

// For pictures that are not needed as a whole. Computes nothing outside the window, so extreme
// aspect ratios cost no more than others.
Image fit_rows(const PictureRows& rows, const Fit& fit, Interpolation kind);

// The window alone; all four bytes of a pixel are resampled.
Raster fit_raster(const Raster& picture, const Fit& fit, Interpolation kind);
// The window on its canvas.
Image put_on_canvas(const Raster& window, const Fit& fit);

}  // namespace saferclip
