#include "saferclip/model/clip_model.h"

#include <ATen/ATen.h>

#include "saferclip/core/text_format.h"

namespace saferclip {
namespace {

std::vector<at::Tensor*> matmul_weights(ClipModel& model) {
  std::vector<at::Tensor*> weights{&model.vision.projection, &model.text.projection};
  for (LinearSlot& slot : linear_slots(model)) {
    if (slot.row == 0) {
      weights.push_back(&slot.layer->weight);
      weights.push_back(&slot.layer->bias);
    }
  }
  return weights;
}

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

Transformer allocate_transformer(const TowerGeometry& tower, const ClipGeometry& geometry,
                                 bool is_causal, const at::TensorOptions& options) {
  Transformer transformer;
  transformer.heads = tower.heads;
  transformer.activation = geometry.activation;
  transformer.is_causal = is_causal;
  const auto make_linear = [&](std::int64_t out, std::int64_t in) {
    Linear layer;
    layer.weight = at::empty({out, in}, options);
    layer.bias = at::empty({out}, options);
    return layer;
  };
  const auto make_norm = [&] {
    return LayerNorm{at::empty({tower.width}, options), at::empty({tower.width}, options),
                     geometry.norm_eps};
  };
  for (std::int64_t i = 0; i < tower.layers; ++i) {
    transformer.blocks.push_back({make_norm(), make_linear(3 * tower.width, tower.width),
                                  make_linear(tower.width, tower.width), make_norm(),
                                  make_linear(tower.mlp_width, tower.width),
                                  make_linear(tower.width, tower.mlp_width)});
  }
  return transformer;
}

void number_sites(ClipModel& model) {
  std::uint64_t site = 0;
  for (LinearSlot& slot : linear_slots(model)) slot.layer->site = site++;
}

}  // namespace

std::string to_string(const ClipGeometry& g) {
  return cat("ViT ", g.vision.layers, " x ", g.vision.width, " (", g.vision.heads,
             " heads), patch ", g.patch_size, ", ", g.image_size, " px; text ", g.text.layers,
             " x ", g.text.width, " (", g.text.heads, " heads), context ", g.context_length,
             "; embedding ", g.embed_dim, "; ", to_string(g.activation));
}

std::int64_t parameter_count(const ClipGeometry& g) {
  const auto tower = [](const TowerGeometry& t) {
    return t.layers *
           (4 * t.width * t.width + 2 * t.width * t.mlp_width + t.mlp_width + 9 * t.width);
  };
  const std::int64_t vision = tower(g.vision) + g.vision.width * (3 * g.patch_size * g.patch_size) +
                              g.vision.width * (1 + 1 + g.grid() * g.grid() + 4 + g.embed_dim);
  const std::int64_t text =
      tower(g.text) + g.text.width * (g.vocab_size + g.context_length + 2 + g.embed_dim);
  return vision + text + 1;
}

std::vector<TensorSlot> tensor_slots(ClipModel& m) {
  const ClipGeometry& g = m.geometry;
  const std::int64_t tw = g.text.width;
  const std::int64_t vw = g.vision.width;
  std::vector<TensorSlot> slots;
  slots.push_back({"logit_scale", {}, &m.logit_scale});
  slots.push_back({"text_model.embeddings.token_embedding.weight",
                   {g.vocab_size, tw},
                   &m.text.token_embedding});
  slots.push_back({"text_model.embeddings.position_embedding.weight",
                   {g.context_length, tw},
                   &m.text.position_embedding});
  for (std::size_t i = 0; i < m.text.transformer.blocks.size(); ++i) {
    add_block_slots(slots, cat("text_model.encoder.layers.", i, "."), m.text.transformer.blocks[i],
                    g.text);
  }
  slots.push_back({"text_model.final_layer_norm.weight", {tw}, &m.text.final_norm.weight});
  slots.push_back({"text_model.final_layer_norm.bias", {tw}, &m.text.final_norm.bias});
  slots.push_back({"vision_model.embeddings.class_embedding", {vw}, &m.vision.class_embedding});
  slots.push_back({"vision_model.embeddings.patch_embedding.weight",
                   {vw, 3, g.patch_size, g.patch_size},
                   &m.vision.patch_embedding.weight});
  slots.push_back({"vision_model.embeddings.position_embedding.weight",
                   {1 + g.grid() * g.grid(), vw},
                   &m.vision.position_embedding});
  // "pre_layrnorm" is Hugging Face's spelling and part of the format.
  slots.push_back({"vision_model.pre_layrnorm.weight", {vw}, &m.vision.pre_norm.weight});
  slots.push_back({"vision_model.pre_layrnorm.bias", {vw}, &m.vision.pre_norm.bias});
  for (std::size_t i = 0; i < m.vision.transformer.blocks.size(); ++i) {
    add_block_slots(slots, cat("vision_model.encoder.layers.", i, "."),
                    m.vision.transformer.blocks[i], g.vision);
  }
  slots.push_back({"vision_model.post_layernorm.weight", {vw}, &m.vision.post_norm.weight});
  slots.push_back({"vision_model.post_layernorm.bias", {vw}, &m.vision.post_norm.bias});
  slots.push_back({"visual_projection.weight", {g.embed_dim, vw}, &m.vision.projection});
  slots.push_back({"text_projection.weight", {g.embed_dim, tw}, &m.text.projection});
  return slots;
}

at::Tensor slot_view(const TensorSlot& slot) {
  return (slot.rows > 0 ? slot.storage->narrow(0, slot.row, slot.rows) : *slot.storage)
      .view(slot.shape);
}

std::vector<LinearSlot> linear_slots(ClipModel& model) {
  std::vector<LinearSlot> slots;
  add_linear_slots(slots, "text_model", model.text.transformer, model.geometry.text.width);
  slots.push_back({"vision_model.embeddings.patch_embedding", "patch_embedding",
                   &model.vision.patch_embedding, 0, model.geometry.vision.width});
  add_linear_slots(slots, "vision_model", model.vision.transformer, model.geometry.vision.width);
  return slots;
}

ClipModel allocate_clip(const ClipGeometry& g, at::ScalarType dtype, at::Device device) {
  const auto options = at::TensorOptions().dtype(dtype).device(device);
  const auto make_norm = [&](std::int64_t width) {
    return LayerNorm{at::empty({width}, options), at::empty({width}, options), g.norm_eps};
  };
  ClipModel m;
  m.geometry = g;
  m.logit_scale = at::empty({}, options);
  m.text.token_embedding = at::empty({g.vocab_size, g.text.width}, options);
  m.text.position_embedding = at::empty({g.context_length, g.text.width}, options);
  m.text.transformer = allocate_transformer(g.text, g, true, options);
  m.text.final_norm = make_norm(g.text.width);
  m.text.projection = at::empty({g.embed_dim, g.text.width}, options);
  m.vision.class_embedding = at::empty({g.vision.width}, options);
  m.vision.patch_embedding.weight =
      at::empty({g.vision.width, 3 * g.patch_size * g.patch_size}, options);
  m.vision.position_embedding = at::empty({1 + g.grid() * g.grid(), g.vision.width}, options);
  m.vision.pre_norm = make_norm(g.vision.width);
  m.vision.transformer = allocate_transformer(g.vision, g, false, options);
  m.vision.post_norm = make_norm(g.vision.width);
  m.vision.projection = at::empty({g.embed_dim, g.vision.width}, options);
  number_sites(m);
  return m;
}

void convert_clip(ClipModel& model, at::ScalarType matmul_dtype, at::Device device) {
  for (TensorSlot& slot : tensor_slots(model)) *slot.storage = slot.storage->to(device);
  for (at::Tensor* weight : matmul_weights(model)) {
    if (weight->defined()) *weight = weight->to(matmul_dtype);
  }
}

}  // namespace saferclip
