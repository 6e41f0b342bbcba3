// Maps a file's factors to the weights of a model.
#pragma once

#include <string>
#include <vector>

#include "saferclip/weights/peft.h"
#include "weights/lora_factors.h"

namespace saferclip {

// Finds the weights that the factors belong to and appends the deltas to `adapter`; factors that do
// not fit are listed in `problems`.
void place_factors(const LoraContent& content, const ClipGeometry& geometry, PeftAdapter& adapter,
                   std::vector<std::string>& problems);

}  // namespace saferclip
