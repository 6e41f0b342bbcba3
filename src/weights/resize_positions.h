// A model for pictures of another size than its weights were trained on.
#pragma once

#include <cstdint>

#include "saferclip/weights/weights.h"

namespace saferclip {

// Changes geometry, preprocessing and `tensor` for pictures of this side in pixels, with a note.
// Throws ConfigError when it is smaller than a patch.
void resize_positions(WeightsSource& source, std::int64_t image_size);

}  // namespace saferclip
