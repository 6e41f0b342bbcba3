// timm's vision towers as in open_clip's SigLIP models (`visual.trunk.`). For these, open_clip's
// configuration holds a name instead of a geometry, so a table here lists the named towers:
// SigLIP's with attention pooling, as of timm 1.0.26.
#include "weights/timm.h"

#include <array>
#include <map>
#include <string_view>

#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"

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

constexpr std::string_view kVisionBlocks = "vision_model.encoder.layers.";
const std::string kTrunk = "visual.trunk.";

SourceTensor block_name(const std::string& canonical) {
  static const std::map<std::string, SourceTensor> kModules{
      {"layer_norm1", {"norm1"}},
      {"layer_norm2", {"norm2"}},
      {"self_attn.q_proj", {.name = "attn.qkv", .third = 0}},
      {"self_attn.k_proj", {.name = "attn.qkv", .third = 1}},
      {"self_attn.v_proj", {.name = "attn.qkv", .third = 2}},
      {"self_attn.out_proj", {"attn.proj"}},
      {"mlp.fc1", {"mlp.fc1"}},
      {"mlp.fc2", {"mlp.fc2"}}};
  const std::string rest = canonical.substr(kVisionBlocks.size());
  const std::size_t first = rest.find('.');
  const std::size_t last = rest.rfind('.');
  SourceTensor from = kModules.at(rest.substr(first + 1, last - first - 1));
  from.name = cat(kTrunk, "blocks.", rest.substr(0, first), ".", from.name, rest.substr(last));
  return from;
}

// Modules outside the blocks, and tensors without a module.
SourceTensor other_name(const std::string& canonical) {
  static const std::map<std::string, std::string> kModules{
      {"vision_model.embeddings.patch_embedding", "patch_embed.proj"},
      {"vision_model.post_layernorm", "norm"},
      {"vision_model.head.attention.out_proj", "attn_pool.proj"},
      {"vision_model.head.layernorm", "attn_pool.norm"},
      {"vision_model.head.mlp.fc1", "attn_pool.mlp.fc1"},
      {"vision_model.head.mlp.fc2", "attn_pool.mlp.fc2"}};
  static const std::map<std::string, SourceTensor> kTensors{
      {"vision_model.embeddings.position_embedding.weight",
       {.name = kTrunk + "pos_embed", .has_leading_one = true}},
      {"vision_model.head.probe", {kTrunk + "attn_pool.latent"}},
      {"vision_model.head.attention.in_proj_weight",
       {.name = kTrunk + "attn_pool.q.weight", .rest = kTrunk + "attn_pool.kv.weight"}},
      {"vision_model.head.attention.in_proj_bias",
       {.name = kTrunk + "attn_pool.q.bias", .rest = kTrunk + "attn_pool.kv.bias"}}};
  if (const auto found = kTensors.find(canonical); found != kTensors.end()) return found->second;
  const std::size_t dot = canonical.rfind('.');
  return {kTrunk + kModules.at(canonical.substr(0, dot)) + canonical.substr(dot)};
}

// The tower of this geometry, preferring one with the same activation; null: none.
const TimmModel* closest_model(const ClipGeometry& geometry) {
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

}  // namespace

const TimmModel* find_timm_model(const std::string& name) {
  for (const TimmModel& model : kModels) {
    if (name == model.name) return &model;
  }
  return nullptr;
}

std::string timm_model_name(const ClipGeometry& g, std::vector<std::string>& notes) {
  const TimmModel* model = closest_model(g);
  if (model == nullptr) {
    throw ConfigError(
        cat("--to open_clip: open_clip loads SigLIP's vision tower from timm by name, and timm has "
            "none with this geometry (",
            to_string(g), "); use --to hf, or --timm-model NAME with a tower you registered"));
  }
  if (model->tower.activation != g.vision.activation) {
    notes.push_back(cat("open_clip's vision tower ", model->name, " computes ",
                        to_string(model->tower.activation), ", but these weights use ",
                        to_string(g.vision.activation),
                        ": image embeddings will differ slightly; --to hf is exact"));
  }
  return model->name;
}

SourceTensor timm_tensor(const std::string& canonical) {
  return canonical.starts_with(kVisionBlocks) ? block_name(canonical) : other_name(canonical);
}

}  // namespace saferclip
