// Where each canonical tensor stands in open_clip's layout: OpenAI's names for CLIP; for SigLIP a
// timm vision tower (`visual.trunk.`) and open_clip's own text tower (`text.`).
#include <ATen/ATen.h>

#include <map>

#include "weights/sources.h"
#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"

namespace saferclip {
namespace {

constexpr std::string_view kVisionBlocks = "vision_model.encoder.layers.";
const std::string kTrunk = "visual.trunk.";

SourceTensor timm_block_name(const std::string& canonical) {
  static const std::map<std::string, SourceTensor> kModules{
      {"layer_norm1", {"norm1"}},
      {"layer_norm2", {"norm2"}},
      {"self_attn.q_proj", {"attn.qkv", false, 0}},
      {"self_attn.k_proj", {"attn.qkv", false, 1}},
      {"self_attn.v_proj", {"attn.qkv", false, 2}},
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

// Modules outside the blocks, and tensors that belong to none.
SourceTensor timm_name(const std::string& canonical) {
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

SourceTensor siglip_name(const std::string& canonical) {
  if (canonical.starts_with("logit_")) return {canonical};
  const std::string_view head = "text_model.head.";
  if (canonical.starts_with(head)) return {"text.text_projection." + canonical.substr(head.size())};
  if (canonical.starts_with(kVisionBlocks)) return timm_block_name(canonical);
  if (canonical.starts_with("vision_model.")) return timm_name(canonical);
  SourceTensor from = openai_name(canonical);
  from.name = "text." + from.name;
  return from;
}

}  // namespace

SourceTensor open_clip_name(Family family, const std::string& canonical) {
  return family == Family::kClip ? openai_name(canonical) : siglip_name(canonical);
}

std::vector<NamedTensor> open_clip_tensors(ClipModel& model, at::ScalarType dtype) {
  std::vector<NamedTensor> tensors;
  const auto add = [&](const std::string& name, const at::Tensor& value) {
    tensors.push_back({name, value.to(dtype).contiguous()});
  };
  for (const TensorSlot& slot : tensor_slots(model)) {
    const SourceTensor from = open_clip_name(model.geometry.family, slot.name);
    if (from.third > 0) continue;
    // The storage of q, k and v already is the fused projection.
    const at::Tensor value = from.third == 0 ? *slot.storage : slot_view(slot);
    if (!from.rest.empty()) {
      const std::int64_t rows = value.size(0) / 3;
      add(from.name, value.narrow(0, 0, rows));
      add(from.rest, value.narrow(0, rows, 2 * rows));
    } else if (from.has_leading_one) {
      add(from.name, value.unsqueeze(0));
    } else {
      add(from.name, from.is_transposed ? value.t() : value);
    }
  }
  return tensors;
}

}  // namespace saferclip
