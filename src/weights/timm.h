// timm's vision towers, which open_clip's SigLIP models use.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "saferclip/model/geometry.h"
#include "weights/tensor_layout.h"

namespace saferclip {

struct TimmModel {
  const char* name;
  std::int64_t image_size = 0;
  std::int64_t patch_size = 0;
  TowerGeometry tower;
};

// Null when timm has no SigLIP tower of this name.
const TimmModel* find_timm_model(const std::string& name);

// timm's name for a tower of this geometry; `notes` gets what it computes differently. Throws
// ConfigError when timm has none.
std::string timm_model_name(const ClipGeometry& geometry, std::vector<std::string>& notes);

// Where timm stores a canonical tensor of SigLIP's vision tower.
SourceTensor timm_tensor(const std::string& canonical);

}  // namespace saferclip
