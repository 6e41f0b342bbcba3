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
    const Image image = decode_image(as_text(data, size), "x", options);
    // Ratios beyond this make a huge resized side; `prepare` bounds them by max_pixels as well.
    if (image.width < 64 * image.height && image.height < 64 * image.width) {
      preprocess_image(image, preprocessing);
    }
  } catch (const Error&) {
  }
  return 0;
}
