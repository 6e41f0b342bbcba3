// Adapts a model to pictures of another size than it was trained on.
#pragma once

#include <cstdint>

#include "saferclip/weights/weights.h"

namespace saferclip {

// Changes geometry, preprocessing and `tensor` to pictures of this side in pixels, and adds a note.
// Throws ConfigError when it is smaller than a patch.
void resize_positions(WeightsSource& source, std::int64_t image_size);

}  // namespace saferclip
