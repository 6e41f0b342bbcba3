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

// The window of a picture resized to width x height.
struct Fit {
  std::int64_t width = 0;
  std::int64_t height = 0;
  Window window;
};

// What a preprocessing makes of a picture. Throws DataError when it has no pixels.
Fit fit_of(std::int64_t width, std::int64_t height, const Preprocessing& preprocessing);

// Whether the columns are resized first, so that the picture is needed as a whole.
bool starts_with_columns(std::int64_t width, std::int64_t height, const Fit& fit);

// For pictures that do not start with the columns. Nothing outside of the window is computed, so
// that extreme ratios cost no more than others.
Image fit_rows(const PictureRows& rows, const Fit& fit, Interpolation kind);

}  // namespace saferclip
