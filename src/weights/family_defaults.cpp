// Preprocessing as the families were trained: CLIP with OpenAI's mean and deviation, shortest side
// and crop; SigLIP squashed to a square, values from -1 to 1. A folder's own settings win; these
// are the defaults.
#include "weights/family_defaults.h"

namespace saferclip {

Preprocessing default_preprocessing(Family family) {
  Preprocessing p;
  if (family == Family::kSiglip) {
    p.resize_mode = ResizeMode::kSquash;
    p.mean = {0.5, 0.5, 0.5};
    p.std = {0.5, 0.5, 0.5};
  }
  return p;
}

TextCleaning default_cleaning(Family family, TextCleaning clip) {
  return family == Family::kSiglip ? TextCleaning::kSiglip : clip;
}

}  // namespace saferclip
