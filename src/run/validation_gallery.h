// A picture of what some unsafe captions of the validation rows find, before and after.
#pragma once

#include <string>

#include "saferclip/evaluate/validation.h"

namespace saferclip {

// The PNG bytes of a contact sheet: a few unsafe captions, the same at each validation, with the
// images that the reference and the tuned model (`tuned`: its rows) find first. Unsafe images are
// blurred beyond recognition. Empty if no row has an unsafe image, or there is no reference. Throws
// DataError if an image cannot be read any more.
std::string validation_gallery(Validator& validator, const EmbeddingSet& tuned);

}  // namespace saferclip
