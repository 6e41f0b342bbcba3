// Reads and writes transformers' config.json. A missing field gets transformers' default, field by
// field. Written files leave nothing out, because a missing field, the activation included, would
// default to that of ViT-B/32 or SigLIP B/16.
#include "weights/hugging_face_config.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"
#include "weights/activation_words.h"
#include "weights/family_defaults.h"
#include "weights/json_fields.h"
#include "weights/preprocessor_config.h"

namespace saferclip {
namespace {

using Json = nlohmann::json;
using OrderedJson = nlohmann::ordered_json;

TowerGeometry read_tower(const Json& json, const std::string& file, const TowerGeometry& defaults) {
  TowerGeometry tower;
  tower.width = json_integer(json, "hidden_size", defaults.width, file);
  tower.layers = json_integer(json, "num_hidden_layers", defaults.layers, file);
  tower.heads = json_integer(json, "num_attention_heads", defaults.heads, file);
  tower.mlp_width = json_integer(json, "intermediate_size", defaults.mlp_width, file);
  if (tower.width == 0 || tower.layers == 0 || tower.heads == 0 || tower.mlp_width == 0) {
    throw WeightsError(cat(
        file, ": hidden_size, num_hidden_layers, num_attention_heads or intermediate_size is 0"));
  }
  if (tower.width % tower.heads != 0) {
    throw WeightsError(
        cat(file, ": hidden_size ", tower.width, " is not divisible by ", tower.heads, " heads"));
  }
  return tower;
}

// In transformers the legacy duplicate `*_config_dict` takes precedence over `*_config`.
Json sub_config(const Json& json, const std::string& name) {
  Json merged = json.value(name, Json::object());
  if (json.contains(name + "_dict") && json[name + "_dict"].is_object()) {
    merged.update(json[name + "_dict"]);
  }
  return merged.is_object() ? merged : Json::object();
}

// `fallback`: the default of hidden_act; empty where clients disagree.
Activation read_activation(const Json& tower, const std::string& fallback, const std::string& file,
                           const ModelOptions& options) {
  const std::string said = tower.contains("hidden_act") && tower["hidden_act"].is_string()
                               ? tower["hidden_act"].get<std::string>()
                               : std::string();
  if (said.empty() && !options.activation && !fallback.empty()) {
    return activation_named(fallback);
  }
  if (said.empty()) return demanded_activation(options, cat(file, " has no hidden_act"));
  if (options.activation && to_string(*options.activation) != said) {
    throw ConfigError(cat("model.activation is ", *options.activation, ", but ", file,
                          " says hidden_act \"", said,
                          "\"; set model.activation: auto, or correct the file"));
  }
  try {
    return activation_named(said);
  } catch (const WeightsError& problem) {
    throw WeightsError(cat(file, ": hidden_act ", problem.what()));
  }
}

// transformers' defaults for missing fields. SigLIP's published files rely on nearly all of them.
struct Defaults {
  TowerGeometry text;
  TowerGeometry vision;
  std::int64_t patch_size;
  std::int64_t context_length;
  std::int64_t vocab_size;
  double norm_eps;
  const char* activation;
};

const Defaults& defaults_of(Family family) {
  static const Defaults kClip{{512, 12, 8, 2048}, {768, 12, 12, 3072}, 32, 77, 49408, 1e-5, ""};
  static const Defaults kSiglip{{768, 12, 12, 3072}, {768, 12, 12, 3072}, 16, 64, 32000, 1e-6,
                                "gelu_pytorch_tanh"};
  return family == Family::kClip ? kClip : kSiglip;
}

Family read_family(const Json& json, const std::string& file) {
  const std::string type = json.value("model_type", std::string("clip"));
  for (const Family family : {Family::kClip, Family::kSiglip}) {
    if (type == form_of(family).name) return family;
  }
  if (type.ends_with("_text_model") || type.ends_with("_vision_model")) {
    throw WeightsError(
        cat(file, ": model_type \"", type,
            "\" describes a single tower; both are needed: give the folder of the whole model"));
  }
  if (type == "siglip2") {
    throw WeightsError(cat(file,
                           ": model_type \"siglip2\": flexible-resolution SigLIP 2 (NaFlex) "
                           "is not supported; use a fixed-resolution SigLIP 2, whose model_type "
                           "is \"siglip\""));
  }
  throw WeightsError(cat(file, ": model_type \"", type,
                         "\" is not supported; expected \"clip\" (OpenAI's, LAION's, MetaCLIP's "
                         "and DFN's ViT models) or \"siglip\" (SigLIP and SigLIP 2)"));
}

// The embedding width, which both towers share.
std::int64_t read_embed_dim(const Json& json, const Json& text, const Json& vision,
                            const ClipGeometry& g, const std::string& file) {
  if (form_of(g.family).has_vision_projection)
    return json_integer(json, "projection_dim", 512, file);
  if (vision.contains("vision_use_head") && vision["vision_use_head"] == false) {
    throw WeightsError(
        cat(file, ": vision_use_head: false: a model without its pooling head is not supported"));
  }
  const std::int64_t width = json_integer(text, "projection_size", g.text.width, file);
  if (width != g.vision.width) {
    throw WeightsError(cat(file, ": text_config.projection_size is ", width,
                           ", but vision_config.hidden_size is ", g.vision.width,
                           "; both embeddings must have the same width"));
  }
  return width;
}

void read_text_spec(const Json& text, const std::string& file, WeightsSource& source) {
  const ClipGeometry& g = source.geometry;
  source.text.context_length = g.context_length;
  source.text.vocab_size = g.vocab_size;
  source.text.is_padded = form_of(g.family).pools_last_token;
  // These are leftovers from other models; the tokenizer decides.
  if (source.text.is_padded) return;
  // OpenAI's files on the hub say bos 0, eos 2: transformers then pools the largest id of a
  // caption. For any other eos it pools the first occurrence, since tokens may have been added
  // after it.
  constexpr std::int64_t kLargest = 2, kDefault = 49407;
  const std::int64_t last = g.vocab_size - 1;
  std::int64_t eos = json_integer(text, "eos_token_id", std::min(kDefault, last), file);
  if (eos > last) {
    throw WeightsError(cat(file, ": eos_token_id is ", eos, ", but the vocabulary size is ",
                           g.vocab_size, "; correct one of them"));
  }
  if (eos == kLargest) eos = last;
  source.text.bos_id = std::max<std::int64_t>(0, eos - 1);
  source.text.eos_id = eos;
  source.geometry.pooled_id = eos == last ? -1 : eos;
}

double read_norm_eps(const Json& text, const Json& vision, double fallback,
                     const std::string& file) {
  const double eps = text.value("layer_norm_eps", fallback);
  if (vision.value("layer_norm_eps", fallback) != eps) {
    throw WeightsError(cat(file, ": the towers' layer_norm_eps differ, which is not supported"));
  }
  return eps;
}

OrderedJson tower_json(const TowerGeometry& tower, const ClipGeometry& g, const char* kind) {
  return {{"attention_dropout", 0.0},
          {"hidden_act", to_string(tower.activation)},
          {"hidden_size", tower.width},
          {"intermediate_size", tower.mlp_width},
          {"layer_norm_eps", g.norm_eps},
          {"model_type", std::string(form_of(g.family).name) + kind},
          {"num_attention_heads", tower.heads},
          {"num_hidden_layers", tower.layers}};
}

OrderedJson id_or_null(std::int64_t id) { return id < 0 ? OrderedJson() : OrderedJson(id); }

// Fields that only CLIP's or only SigLIP's configuration has.
void add_clip_fields(OrderedJson& json, const ClipGeometry& g) {
  json["logit_scale_init_value"] = 2.6592;
  json["projection_dim"] = g.embed_dim;
  json["text_config"]["pad_token_id"] = 1;
  for (const char* tower : {"text_config", "vision_config"}) {
    json[tower]["initializer_factor"] = 1.0;
    json[tower]["initializer_range"] = 0.02;
    json[tower]["projection_dim"] = g.embed_dim;
  }
}

void add_siglip_fields(OrderedJson& json, const ClipGeometry& g, const TextSpec& text) {
  json["text_config"]["pad_token_id"] = text.pad_id;
  json["text_config"]["projection_size"] = g.embed_dim;
  json["vision_config"]["vision_use_head"] = true;
}

// The eos id that makes transformers pool the same token: the end mark's id, or 2 for the largest
// id.
std::int64_t pooled_end(const ClipGeometry& g, const TextSpec& text) {
  const bool is_largest = text.is_padded || text.eos_id == g.vocab_size - 1;
  return g.pooled_id < 0 && !is_largest ? 2 : text.eos_id;
}

OrderedJson model_json(const ClipGeometry& g, const TextSpec& text, const char* dtype) {
  OrderedJson text_json = tower_json(g.text, g, "_text_model");
  text_json["bos_token_id"] = id_or_null(text.bos_id);
  text_json["eos_token_id"] = pooled_end(g, text);
  text_json["max_position_embeddings"] = g.context_length;
  text_json["vocab_size"] = g.vocab_size;
  OrderedJson vision_json = tower_json(g.vision, g, "_vision_model");
  vision_json["image_size"] = g.image_size;
  vision_json["num_channels"] = 3;
  vision_json["patch_size"] = g.patch_size;
  OrderedJson json{{"architectures", {std::string(form_of(g.family).class_name) + "Model"}},
                   {"initializer_factor", 1.0},
                   {"model_type", form_of(g.family).name},
                   {"text_config", text_json},
                   {"torch_dtype", dtype},
                   {"vision_config", vision_json}};
  if (g.family == Family::kClip) {
    add_clip_fields(json, g);
  } else {
    add_siglip_fields(json, g, text);
  }
  return json;
}

// A tower exported alone has its own configuration at the top level.
OrderedJson tower_config(const OrderedJson& config, Towers tower, const FamilyForm& form) {
  if (tower == Towers::kBoth) return config;
  const bool is_text = tower == Towers::kText;
  // SigLIP's heads belong to its towers; CLIP's projections do not.
  const std::string name = cat(form.class_name, is_text ? "Text" : "Vision", "Model",
                               form.has_vision_projection ? "WithProjection" : "");
  OrderedJson json{{"architectures", {name}}};
  json.update(config[is_text ? "text_config" : "vision_config"]);
  json["torch_dtype"] = config["torch_dtype"];
  return json;
}

}  // namespace

void read_hugging_face_config(const Json& json, const std::string& file,
                              const ModelOptions& options, WeightsSource& source) {
  ClipGeometry& g = source.geometry;
  g.family = read_family(json, file);
  const Defaults& defaults = defaults_of(g.family);
  const Json text = sub_config(json, "text_config");
  const Json vision = sub_config(json, "vision_config");
  g.text = read_tower(text, file, defaults.text);
  g.vision = read_tower(vision, file, defaults.vision);
  g.embed_dim = read_embed_dim(json, text, vision, g, file);
  g.image_size = json_integer(vision, "image_size", 224, file);
  g.patch_size = json_integer(vision, "patch_size", defaults.patch_size, file);
  g.context_length = json_integer(text, "max_position_embeddings", defaults.context_length, file);
  g.vocab_size = json_integer(text, "vocab_size", defaults.vocab_size, file);
  g.norm_eps = read_norm_eps(text, vision, defaults.norm_eps, file);
  g.text.activation = read_activation(text, defaults.activation, file, options);
  g.vision.activation = read_activation(vision, defaults.activation, file, options);
  if (g.patch_size == 0 || g.image_size < g.patch_size) {
    throw WeightsError(cat(file, ": image_size ", g.image_size, " is smaller than patch_size ",
                           g.patch_size, ", or patch_size is 0"));
  }
  if (json_integer(vision, "num_channels", 3, file) != 3) {
    throw WeightsError(cat(file, ": num_channels: only 3 (RGB) is supported"));
  }
  read_text_spec(text, file, source);
  source.preprocessing = default_preprocessing(g.family);
  source.preprocessing.image_size = g.image_size;
}

void read_architecture(const Json& json, const std::string& file, const ModelOptions& options,
                       WeightsSource& source) {
  read_hugging_face_config(json, file, options, source);
  if (json.contains("preprocessing")) {
    read_preprocessor_config(json["preprocessing"], file, source);
  }
}

std::string hugging_face_config(const WeightsSource& source, at::ScalarType dtype, Towers tower) {
  const char* word = dtype == at::kHalf       ? "float16"
                     : dtype == at::kBFloat16 ? "bfloat16"
                                              : "float32";
  const OrderedJson model = model_json(source.geometry, source.text, word);
  return tower_config(model, tower, form_of(source.geometry.family)).dump(2) + "\n";
}

}  // namespace saferclip
