#include <cstdlib>

#include "fuzz/fuzz.h"
#include "saferclip/core/error.h"
#include "saferclip/image/image.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace saferclip;
  DecodeOptions options;
  options.max_pixels = 1 << 20;
  try {
    Preprocessing preprocessing;
    preprocessing.image_size = 8;
    const Image whole =
        preprocess_image(decode_image(as_text(data, size), "x", options), preprocessing);
    const Image square = decode_preprocessed(as_text(data, size), "x", preprocessing, options);
    preprocessing.transparency = Transparency::kOnWhite;
    const Image on_white = decode_preprocessed(as_text(data, size), "x", preprocessing, options);
    // Where the two ways with transparency agree there is none, and the pixels are those of the
    // whole picture.
    if (square.pixels == on_white.pixels && square.pixels != whole.pixels) std::abort();
  } catch (const Error&) {
  }
  return 0;
}
