#include "weights/timm_models.h"

#include <array>

namespace saferclip {
namespace {

constexpr Activation kExact = Activation::kGelu;
constexpr Activation kTanh = Activation::kGeluTanh;
constexpr TowerGeometry base(Activation act) { return {768, 12, 12, 3072, act}; }
constexpr TowerGeometry large(Activation act) { return {1024, 24, 16, 4096, act}; }
constexpr TowerGeometry so400m(Activation act) { return {1152, 27, 16, 4304, act}; }
constexpr TowerGeometry giantopt() { return {1536, 40, 16, 6144, kTanh}; }

constexpr std::array<TimmModel, 16> kModels{
    {{"vit_base_patch32_siglip_256", 256, 32, base(kTanh)},
     {"vit_base_patch16_siglip_224", 224, 16, base(kExact)},
     {"vit_base_patch16_siglip_256", 256, 16, base(kExact)},
     {"vit_base_patch16_siglip_384", 384, 16, base(kExact)},
     {"vit_base_patch16_siglip_512", 512, 16, base(kExact)},
     {"vit_large_patch16_siglip_256", 256, 16, large(kExact)},
     {"vit_large_patch16_siglip_384", 384, 16, large(kExact)},
     {"vit_large_patch16_siglip_512", 512, 16, large(kTanh)},
     {"vit_so400m_patch14_siglip_224", 224, 14, so400m(kExact)},
     {"vit_so400m_patch14_siglip_378", 378, 14, so400m(kExact)},
     {"vit_so400m_patch14_siglip_384", 384, 14, so400m(kExact)},
     {"vit_so400m_patch16_siglip_256", 256, 16, so400m(kTanh)},
     {"vit_so400m_patch16_siglip_384", 384, 16, so400m(kTanh)},
     {"vit_so400m_patch16_siglip_512", 512, 16, so400m(kTanh)},
     {"vit_giantopt_patch16_siglip_256", 256, 16, giantopt()},
     {"vit_giantopt_patch16_siglip_384", 384, 16, giantopt()}}};

}  // namespace

const TimmModel* find_timm_model(const std::string& name) {
  for (const TimmModel& model : kModels) {
    if (name == model.name) return &model;
  }
  return nullptr;
}

const TimmModel* find_timm_model(const ClipGeometry& geometry) {
  const TimmModel* close = nullptr;
  for (const TimmModel& model : kModels) {
    if (model.image_size != geometry.image_size || model.patch_size != geometry.patch_size)
      continue;
    TowerGeometry tower = model.tower;
    if (tower == geometry.vision) return &model;
    tower.activation = geometry.vision.activation;
    if (tower == geometry.vision) close = &model;
  }
  return close;
}

}  // namespace saferclip
