// What a family wants of pictures and captions where no file says otherwise.
#pragma once

#include "saferclip/core/preprocessing.h"
#include "saferclip/model/geometry.h"

namespace saferclip {

Preprocessing default_preprocessing(Family family);

// `clip` for CLIP's captions; SigLIP was trained on lower case without punctuation, whichever
// client reads it.
TextCleaning default_cleaning(Family family, TextCleaning clip);

}  // namespace saferclip
