#include <nlohmann/json.hpp>

#include "saferclip/model/weights.h"

namespace saferclip {
namespace {

using Json = nlohmann::ordered_json;

Json tower_json(const TowerGeometry& tower, const ClipGeometry& g, const char* kind) {
  return {{"attention_dropout", 0.0},
          {"hidden_act", to_string(tower.activation)},
          {"hidden_size", tower.width},
          {"intermediate_size", tower.mlp_width},
          {"layer_norm_eps", g.norm_eps},
          {"model_type", std::string(form_of(g.family).name) + kind},
          {"num_attention_heads", tower.heads},
          {"num_hidden_layers", tower.layers}};
}

Json id_or_null(std::int64_t id) { return id < 0 ? Json() : Json(id); }

// What only CLIP's configuration has, only SigLIP's.
void add_clip_fields(Json& json, const ClipGeometry& g) {
  json["logit_scale_init_value"] = 2.6592;
  json["projection_dim"] = g.embed_dim;
  json["text_config"]["pad_token_id"] = 1;
  for (const char* tower : {"text_config", "vision_config"}) {
    json[tower]["initializer_factor"] = 1.0;
    json[tower]["initializer_range"] = 0.02;
    json[tower]["projection_dim"] = g.embed_dim;
  }
}

void add_siglip_fields(Json& json, const ClipGeometry& g, const TextSpec& text) {
  json["text_config"]["pad_token_id"] = text.pad_id;
  json["text_config"]["projection_size"] = g.embed_dim;
  json["vision_config"]["vision_use_head"] = true;
}

}  // namespace

// Every field is written: transformers fills a missing one with ViT-B/32's or SigLIP B/16's, the
// activation included.
std::string hugging_face_config(const ClipGeometry& g, const TextSpec& text) {
  Json text_json = tower_json(g.text, g, "_text_model");
  text_json["bos_token_id"] = id_or_null(text.bos_id);
  text_json["eos_token_id"] = text.eos_id;
  text_json["max_position_embeddings"] = g.context_length;
  text_json["vocab_size"] = g.vocab_size;
  Json vision_json = tower_json(g.vision, g, "_vision_model");
  vision_json["image_size"] = g.image_size;
  vision_json["num_channels"] = 3;
  vision_json["patch_size"] = g.patch_size;
  Json json{{"architectures", {std::string(form_of(g.family).class_name) + "Model"}},
            {"initializer_factor", 1.0},
            {"model_type", form_of(g.family).name},
            {"text_config", text_json},
            {"torch_dtype", "float32"},
            {"vision_config", vision_json}};
  if (g.family == Family::kClip) {
    add_clip_fields(json, g);
  } else {
    add_siglip_fields(json, g, text);
  }
  return json.dump(2) + "\n";
}

std::string hugging_face_preprocessor(const Preprocessing& p, Family family) {
  const Json square{{"height", p.image_size}, {"width", p.image_size}};
  const bool is_squash = p.resize_mode == ResizeMode::kSquash;
  const Json json{
      {"crop_size", square},
      {"do_center_crop", !is_squash},
      {"do_convert_rgb", true},
      {"do_normalize", true},
      {"do_rescale", true},
      {"do_resize", true},
      {"image_mean", p.mean},
      // Without a crop SigLIP's own processor serves, which has none.
      {"image_processor_type",
       family == Family::kSiglip && is_squash ? "SiglipImageProcessor" : "CLIPImageProcessor"},
      {"image_std", p.std},
      {"resample", p.interpolation == Interpolation::kBicubic ? 3 : 2},
      {"rescale_factor", 1.0 / 255},
      {"size", is_squash ? square : Json{{"shortest_edge", p.image_size}}}};
  return json.dump(2) + "\n";
}

}  // namespace saferclip
