// timm's vision towers, which open_clip's SigLIP models are made with.
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

// Null: not one of timm's SigLIP towers.
const TimmModel* find_timm_model(const std::string& name);

// The name of timm's tower of this geometry; `notes` gets what it computes otherwise. Throws
// ConfigError when timm has none.
std::string timm_model_name(const ClipGeometry& geometry, std::vector<std::string>& notes);

// Where a canonical tensor of SigLIP's vision tower stands.
SourceTensor timm_tensor(const std::string& canonical);

}  // namespace saferclip
