#include <nlohmann/json.hpp>

#include "saferclip/core/error.h"
#include "saferclip/weights/weights.h"

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

// What makes transformers pool the same token: the end mark's id, or its sign for the largest one.
std::int64_t pooled_end(const ClipGeometry& g, const TextSpec& text) {
  const bool is_largest = text.is_padded || text.eos_id == g.vocab_size - 1;
  return g.pooled_id < 0 && !is_largest ? 2 : text.eos_id;
}

// Pillow's number of a filter.
int resample_number(Interpolation kind) {
  switch (kind) {
    case Interpolation::kNearest:
      return 0;
    case Interpolation::kLanczos:
      return 1;
    case Interpolation::kBilinear:
      return 2;
    case Interpolation::kBicubic:
      return 3;
    case Interpolation::kBox:
      return 4;
    case Interpolation::kHamming:
      return 5;
  }
  return 3;
}

}  // namespace

// Every field is written: transformers fills a missing one with ViT-B/32's or SigLIP B/16's, the
// activation included.
std::string hugging_face_config(const ClipGeometry& g, const TextSpec& text) {
  Json text_json = tower_json(g.text, g, "_text_model");
  text_json["bos_token_id"] = id_or_null(text.bos_id);
  text_json["eos_token_id"] = pooled_end(g, text);
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
  if (p.resize_mode == ResizeMode::kLongest) {
    throw ConfigError(
        "--to hf: transformers has no image processor that resizes the longest side and fills up "
        "the rest, as these weights want it; use --to open_clip");
  }
  const auto square = [](std::int64_t side) { return Json{{"height", side}, {"width", side}}; };
  const bool is_squash = p.resize_mode == ResizeMode::kSquash;
  const bool crops = !is_squash || p.resize_to != 0;
  const std::int64_t side = p.resize_to == 0 ? p.image_size : p.resize_to;
  const Json json{
      {"crop_size", square(p.image_size)},
      {"do_center_crop", crops},
      {"do_convert_rgb", true},
      {"do_normalize", true},
      {"do_rescale", true},
      {"do_resize", p.resize_mode != ResizeMode::kNone},
      {"image_mean", p.mean},
      // Without a crop SigLIP's own processor serves, which has none.
      {"image_processor_type",
       family == Family::kSiglip && !crops ? "SiglipImageProcessor" : "CLIPImageProcessor"},
      {"image_std", p.std},
      {"resample", resample_number(p.interpolation)},
      {"rescale_factor", p.rescale},
      {"size", is_squash ? square(side) : Json{{"shortest_edge", side}}}};
  return json.dump(2) + "\n";
}

}  // namespace saferclip
