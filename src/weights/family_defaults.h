// A family's preprocessing of pictures and captions when no file specifies it.
#pragma once

#include "saferclip/core/preprocessing.h"
#include "saferclip/model/geometry.h"

namespace saferclip {

Preprocessing default_preprocessing(Family family);

// `clip` for CLIP; SigLIP was trained on lower case without punctuation, whichever client reads it.
TextCleaning default_cleaning(Family family, TextCleaning clip);

}  // namespace saferclip
