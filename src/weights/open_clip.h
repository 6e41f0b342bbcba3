// open_clip's layout: a folder with open_clip_config.json. A CLIP's tensors have OpenAI's names
// there, so openai.cpp uses these functions too.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <string>
#include <vector>

#include "weights/layouts.h"
#include "weights/tensor_layout.h"

namespace saferclip {

extern const Layout kOpenClipLayout;

// Where the layout stores a canonical tensor of a family.
SourceTensor open_clip_tensor(Family family, const std::string& canonical);

// All tensors under open_clip's names and in its shapes: for CLIP OpenAI's (projections transposed,
// q, k, v fused), for SigLIP timm's vision tower and open_clip's text tower.
std::vector<NamedTensor> open_clip_tensors(ClipModel& model, at::ScalarType dtype);

void attach_open_clip_tensors(WeightsSource& source,
                              const std::shared_ptr<const TensorFiles>& files);

}  // namespace saferclip
