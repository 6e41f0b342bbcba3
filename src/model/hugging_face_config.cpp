#include <nlohmann/json.hpp>

#include "saferclip/model/weights.h"

namespace saferclip {
namespace {

using Json = nlohmann::ordered_json;

Json tower_json(const TowerGeometry& tower, const ClipGeometry& g, const char* type) {
  return {{"attention_dropout", 0.0},           {"hidden_act", to_string(g.activation)},
          {"hidden_size", tower.width},         {"initializer_factor", 1.0},
          {"initializer_range", 0.02},          {"intermediate_size", tower.mlp_width},
          {"layer_norm_eps", g.norm_eps},       {"model_type", type},
          {"num_attention_heads", tower.heads}, {"num_hidden_layers", tower.layers},
          {"projection_dim", g.embed_dim}};
}

}  // namespace

// Every field is written: transformers fills a missing one with ViT-B/32's, the activation
// included.
std::string hugging_face_config(const ClipGeometry& g, const TextSpec& text) {
  Json text_json = tower_json(g.text, g, "clip_text_model");
  text_json["bos_token_id"] = text.bos_id;
  text_json["eos_token_id"] = text.eos_id;
  text_json["pad_token_id"] = 1;
  text_json["max_position_embeddings"] = g.context_length;
  text_json["vocab_size"] = g.vocab_size;
  Json vision_json = tower_json(g.vision, g, "clip_vision_model");
  vision_json["image_size"] = g.image_size;
  vision_json["num_channels"] = 3;
  vision_json["patch_size"] = g.patch_size;
  const Json json{{"architectures", {"CLIPModel"}},   {"initializer_factor", 1.0},
                  {"logit_scale_init_value", 2.6592}, {"model_type", "clip"},
                  {"projection_dim", g.embed_dim},    {"text_config", text_json},
                  {"torch_dtype", "float32"},         {"vision_config", vision_json}};
  return json.dump(2) + "\n";
}

std::string hugging_face_preprocessor(const Preprocessing& p) {
  const Json square{{"height", p.image_size}, {"width", p.image_size}};
  const bool is_squash = p.resize_mode == ResizeMode::kSquash;
  const Json json{{"crop_size", square},
                  {"do_center_crop", !is_squash},
                  {"do_convert_rgb", true},
                  {"do_normalize", true},
                  {"do_rescale", true},
                  {"do_resize", true},
                  {"image_mean", p.mean},
                  {"image_processor_type", "CLIPImageProcessor"},
                  {"image_std", p.std},
                  {"resample", p.interpolation == Interpolation::kBicubic ? 3 : 2},
                  {"rescale_factor", 1.0 / 255},
                  {"size", is_squash ? square : Json{{"shortest_edge", p.image_size}}}};
  return json.dump(2) + "\n";
}

}  // namespace saferclip
