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
    if (square.pixels != whole.pixels) std::abort();
  } catch (const Error&) {
  }
  return 0;
}
