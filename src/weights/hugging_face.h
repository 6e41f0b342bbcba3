// transformers' layout: a folder with config.json, whose tensors have the canonical names.
#pragma once

#include "weights/layouts.h"

namespace saferclip {

extern const Layout kHuggingFaceLayout;

}  // namespace saferclip
