// Every tensor by its canonical name. The order is fixed: a model's hash and the list of trained
// leaves follow it. q, k and v have separate names but one storage, because files store them
// separately and the product needs them together. A family has the tensors whose storage is
// defined.
#include "saferclip/model/tensor_slots.h"

#include <ATen/ATen.h>

#include <functional>
#include <numeric>
#include <utility>

#include "saferclip/core/text_format.h"

namespace saferclip {
namespace {

void add_block_slots(std::vector<TensorSlot>& slots, const std::string& prefix, Block& block,
                     const TowerGeometry& tower) {
  const std::int64_t d = tower.width;
  slots.push_back({prefix + "layer_norm1.weight", {d}, &block.norm1.weight});
  slots.push_back({prefix + "layer_norm1.bias", {d}, &block.norm1.bias});
  static constexpr const char* kNames[] = {"q_proj", "k_proj", "v_proj"};
  for (std::int64_t i = 0; i < 3; ++i) {
    const std::string name = prefix + "self_attn." + kNames[i];
    slots.push_back({name + ".weight", {d, d}, &block.qkv.weight, i * d, d});
    slots.push_back({name + ".bias", {d}, &block.qkv.bias, i * d, d});
  }
  slots.push_back({prefix + "self_attn.out_proj.weight", {d, d}, &block.out.weight});
  slots.push_back({prefix + "self_attn.out_proj.bias", {d}, &block.out.bias});
  slots.push_back({prefix + "layer_norm2.weight", {d}, &block.norm2.weight});
  slots.push_back({prefix + "layer_norm2.bias", {d}, &block.norm2.bias});
  slots.push_back({prefix + "mlp.fc1.weight", {tower.mlp_width, d}, &block.fc1.weight});
  slots.push_back({prefix + "mlp.fc1.bias", {tower.mlp_width}, &block.fc1.bias});
  slots.push_back({prefix + "mlp.fc2.weight", {d, tower.mlp_width}, &block.fc2.weight});
  slots.push_back({prefix + "mlp.fc2.bias", {d}, &block.fc2.bias});
}

void add_linear_slots(std::vector<LinearSlot>& slots, const std::string& tower,
                      Transformer& transformer, std::int64_t width) {
  static constexpr const char* kNames[] = {"q_proj", "k_proj", "v_proj"};
  for (std::size_t n = 0; n < transformer.blocks.size(); ++n) {
    Block& block = transformer.blocks[n];
    const std::string prefix = cat(tower, ".encoder.layers.", n, ".");
    for (std::int64_t i = 0; i < 3; ++i) {
      slots.push_back({prefix + "self_attn." + kNames[i], kNames[i], &block.qkv, i * width, width});
    }
    slots.push_back({prefix + "self_attn.out_proj", "out_proj", &block.out, 0, width});
    slots.push_back({prefix + "mlp.fc1", "fc1", &block.fc1, 0, block.fc1.weight.size(0)});
    slots.push_back({prefix + "mlp.fc2", "fc2", &block.fc2, 0, width});
  }
}

void add_pool_slots(std::vector<TensorSlot>& slots, AttentionPool& pool,
                    const TowerGeometry& tower) {
  const std::string prefix = "vision_model.head.";
  const std::int64_t d = tower.width;
  slots.push_back({prefix + "probe", {1, 1, d}, &pool.probe});
  slots.push_back({prefix + "attention.in_proj_weight", {3 * d, d}, &pool.in.weight});
  slots.push_back({prefix + "attention.in_proj_bias", {3 * d}, &pool.in.bias});
  slots.push_back({prefix + "attention.out_proj.weight", {d, d}, &pool.out.weight});
  slots.push_back({prefix + "attention.out_proj.bias", {d}, &pool.out.bias});
  slots.push_back({prefix + "layernorm.weight", {d}, &pool.norm.weight});
  slots.push_back({prefix + "layernorm.bias", {d}, &pool.norm.bias});
  slots.push_back({prefix + "mlp.fc1.weight", {tower.mlp_width, d}, &pool.fc1.weight});
  slots.push_back({prefix + "mlp.fc1.bias", {tower.mlp_width}, &pool.fc1.bias});
  slots.push_back({prefix + "mlp.fc2.weight", {d, tower.mlp_width}, &pool.fc2.weight});
  slots.push_back({prefix + "mlp.fc2.bias", {d}, &pool.fc2.bias});
}

void add_norm_slots(std::vector<TensorSlot>& slots, const std::string& module, LayerNorm& norm,
                    std::int64_t width) {
  slots.push_back({module + ".weight", {width}, &norm.weight});
  slots.push_back({module + ".bias", {width}, &norm.bias});
}

void add_text_slots(std::vector<TensorSlot>& slots, ClipModel& m) {
  const ClipGeometry& g = m.geometry;
  const std::int64_t width = g.text.width;
  slots.push_back({"text_model.embeddings.token_embedding.weight",
                   {g.vocab_size, width},
                   &m.text.token_embedding});
  slots.push_back({"text_model.embeddings.position_embedding.weight",
                   {g.context_length, width},
                   &m.text.position_embedding});
  for (std::size_t i = 0; i < m.text.transformer.blocks.size(); ++i) {
    add_block_slots(slots, cat("text_model.encoder.layers.", i, "."), m.text.transformer.blocks[i],
                    g.text);
  }
  add_norm_slots(slots, "text_model.final_layer_norm", m.text.final_norm, width);
}

void add_vision_slots(std::vector<TensorSlot>& slots, ClipModel& m) {
  const ClipGeometry& g = m.geometry;
  const std::int64_t width = g.vision.width;
  const std::string embeddings = "vision_model.embeddings.";
  slots.push_back({embeddings + "class_embedding", {width}, &m.vision.class_embedding});
  slots.push_back({embeddings + "patch_embedding.weight",
                   {width, 3, g.patch_size, g.patch_size},
                   &m.vision.patch_embedding.weight});
  slots.push_back({embeddings + "patch_embedding.bias", {width}, &m.vision.patch_embedding.bias});
  slots.push_back({embeddings + "position_embedding.weight",
                   {g.positions(), width},
                   &m.vision.position_embedding});
  // "pre_layrnorm" is Hugging Face's spelling and part of the format.
  add_norm_slots(slots, "vision_model.pre_layrnorm", m.vision.pre_norm, width);
  for (std::size_t i = 0; i < m.vision.transformer.blocks.size(); ++i) {
    add_block_slots(slots, cat("vision_model.encoder.layers.", i, "."),
                    m.vision.transformer.blocks[i], g.vision);
  }
  add_norm_slots(slots, "vision_model.post_layernorm", m.vision.post_norm, width);
  add_pool_slots(slots, m.vision.pool, g.vision);
}

}  // namespace

std::vector<TensorSlot> tensor_slots(ClipModel& m) {
  const ClipGeometry& g = m.geometry;
  const FamilyForm& form = form_of(g.family);
  const std::vector<std::int64_t> scalar(form.has_scalar_shape ? 0U : 1U, 1);
  std::vector<TensorSlot> slots;
  slots.push_back({"logit_scale", scalar, &m.logit_scale});
  slots.push_back({"logit_bias", scalar, &m.logit_bias});
  add_text_slots(slots, m);
  add_vision_slots(slots, m);
  slots.push_back(
      {"visual_projection.weight", {g.embed_dim, g.vision.width}, &m.vision.projection});
  const std::string text = form.text_projection;
  slots.push_back({text + ".weight", {g.embed_dim, g.text.width}, &m.text.projection});
  slots.push_back({text + ".bias", {g.embed_dim}, &m.text.projection_bias});
  std::erase_if(slots, [](const TensorSlot& slot) { return !slot.storage->defined(); });
  return slots;
}

at::Tensor slot_view(const TensorSlot& slot) {
  return (slot.rows > 0 ? slot.storage->narrow(0, slot.row, slot.rows) : *slot.storage)
      .view(slot.shape);
}

std::vector<LinearSlot> linear_slots(ClipModel& model) {
  std::vector<LinearSlot> slots;
  const std::int64_t width = model.geometry.vision.width;
  add_linear_slots(slots, "text_model", model.text.transformer, model.geometry.text.width);
  slots.push_back({"vision_model.embeddings.patch_embedding", "patch_embedding",
                   &model.vision.patch_embedding, 0, width});
  add_linear_slots(slots, "vision_model", model.vision.transformer, width);
  if (AttentionPool& pool = model.vision.pool; pool.probe.defined()) {
    slots.push_back(
        {"vision_model.head.mlp.fc1", "fc1", &pool.fc1, 0, model.geometry.vision.mlp_width});
    slots.push_back({"vision_model.head.mlp.fc2", "fc2", &pool.fc2, 0, width});
  }
  return slots;
}

std::vector<TensorForm> tensor_forms(const ClipGeometry& geometry) {
  ClipModel shapes = allocate_clip(geometry, at::kFloat, at::kMeta);
  std::vector<TensorForm> forms;
  for (TensorSlot& slot : tensor_slots(shapes)) {
    forms.push_back({std::move(slot.name), std::move(slot.shape)});
  }
  return forms;
}

std::int64_t parameter_count(const ClipGeometry& geometry) {
  std::int64_t count = 0;
  for (const TensorForm& form : tensor_forms(geometry)) {
    count +=
        std::accumulate(form.shape.begin(), form.shape.end(), std::int64_t{1}, std::multiplies<>());
  }
  return count;
}

}  // namespace saferclip
