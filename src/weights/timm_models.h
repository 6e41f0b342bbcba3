// The timm vision towers that open_clip's SigLIP models name: open_clip's configuration holds a
// name where CLIP's holds a geometry.
#pragma once

#include <string>

#include "saferclip/model/clip_model.h"

namespace saferclip {

struct TimmModel {
  const char* name;
  std::int64_t image_size = 0;
  std::int64_t patch_size = 0;
  TowerGeometry tower;
};

// nullptr: not one of timm's SigLIP towers with attention pooling (as of timm 1.0.26).
const TimmModel* find_timm_model(const std::string& name);
// The tower of this geometry, one with the same activation before one with another; nullptr: none.
const TimmModel* find_timm_model(const ClipGeometry& geometry);

}  // namespace saferclip
