// Reads and writes open_clip_config.json: the towers' geometry here, its other settings in
// open_clip_settings.cpp. For CLIP it holds sizes; for SigLIP timm's name of the vision tower, so a
// tower without such a name cannot be written.
#include "weights/open_clip_config.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"
#include "weights/activation_words.h"
#include "weights/family_defaults.h"
#include "weights/hugging_face_config.h"
#include "weights/json_fields.h"
#include "weights/open_clip_settings.h"
#include "weights/timm.h"

namespace saferclip {
namespace {

using Json = nlohmann::json;
using OrderedJson = nlohmann::ordered_json;

// `act_kwargs` belong to nn.GELU; QuickGELU has none.
Activation read_activation(const Json& tower, bool is_quick, const char* name,
                           const std::string& file) {
  const Json act = tower.value("act_kwargs", Json());
  const auto approximate =
      act.is_object() ? act.value("approximate", std::string("none")) : std::string("none");
  if (approximate != "none" && (approximate != "tanh" || is_quick)) {
    throw WeightsError(cat(file, ": ", name, ".act_kwargs.approximate is \"", approximate,
                           "\"; only \"tanh\", and only without quick_gelu, is supported"));
  }
  if (is_quick) return Activation::kQuickGelu;
  return approximate == "tanh" ? Activation::kGeluTanh : Activation::kGelu;
}

double read_norm_eps(const Json& tower, double fallback) {
  const Json norm = tower.value("norm_kwargs", Json());
  return norm.is_object() ? norm.value("eps", fallback) : fallback;
}

// `name`: "vision_cfg" or "text_cfg", whose defaults differ.
TowerGeometry read_tower(const Json& json, const std::string& name, const std::string& file) {
  const bool is_vision = name == "vision_cfg";
  TowerGeometry tower;
  tower.width = json_integer(json, "width", is_vision ? 768 : 512, file);
  tower.layers = json_integer(json, "layers", 12, file);
  const std::int64_t head_width = json_integer(json, "head_width", 64, file);
  tower.heads = is_vision ? tower.width / std::max<std::int64_t>(1, head_width)
                          : json_integer(json, "heads", 8, file);
  tower.mlp_width =
      static_cast<std::int64_t>(static_cast<double>(tower.width) * json.value("mlp_ratio", 4.0));
  if (tower.layers < 1 || tower.heads < 1 || tower.width % tower.heads != 0) {
    throw WeightsError(cat(file, ": ", name, ": width ", tower.width, " is not divisible by ",
                           tower.heads, " heads, or layers is 0"));
  }
  return tower;
}

// SigLIP's vision tower: timm's by name, or the one that `model.architecture` describes.
void read_timm_tower(const Json& vision, const std::string& file, const ModelOptions& options,
                     WeightsSource& source) {
  ClipGeometry& g = source.geometry;
  const auto name = vision["timm_model_name"].get<std::string>();
  if (!options.architecture.empty()) {
    read_json_file(options.architecture, [&](const Json& json) {
      read_hugging_face_config(json, options.architecture, options, source);
    });
    return;
  }
  const TimmModel* model = find_timm_model(name);
  if (model == nullptr) {
    throw WeightsError(
        cat(file, ": vision_cfg.timm_model_name \"", name,
            "\" is not one of timm's SigLIP towers; use one of them, or describe the tower "
            "with model.architecture (for example, configs/models/ViT-B-16-SigLIP.json)"));
  }
  g.vision = model->tower;
  g.image_size = json_integer(vision, "image_size", model->image_size, file);
  g.patch_size = model->patch_size;
}

Family read_family(const Json& vision) {
  const Json name = vision.value("timm_model_name", Json());
  const bool is_siglip =
      name.is_string() && name != "" && vision.value("timm_pool", Json()) == "map";
  return is_siglip ? Family::kSiglip : Family::kClip;
}

void read_towers(const Json& model, const std::string& file, const ModelOptions& options,
                 WeightsSource& source) {
  const Json vision = model.value("vision_cfg", Json::object());
  const Json text = model.value("text_cfg", Json::object());
  ClipGeometry& g = source.geometry;
  const bool is_quick = model.value("quick_gelu", false);
  if (g.family == Family::kSiglip) {
    read_timm_tower(vision, file, options, source);
    g.norm_eps = 1e-6;  // of timm's towers
  } else {
    g.vision = read_tower(vision, "vision_cfg", file);
    g.vision.activation = read_activation(vision, is_quick, "vision_cfg", file);
    g.image_size = json_integer(vision, "image_size", 224, file);
    g.patch_size = json_integer(vision, "patch_size", 16, file);
    g.norm_eps = read_norm_eps(vision, 1e-5);
  }
  g.embed_dim = json_integer(model, "embed_dim", 512, file);
  g.text = read_tower(text, "text_cfg", file);
  g.text.activation = read_activation(text, is_quick, "text_cfg", file);
  g.context_length = json_integer(text, "context_length", 77, file);
  g.vocab_size = json_integer(text, "vocab_size", 49408, file);
  if (read_norm_eps(text, 1e-5) != g.norm_eps) {
    throw WeightsError(cat(file, ": the towers' norm_kwargs.eps differ, which is not supported"));
  }
  require_same_activation(options, activation_text(g), file);
}

// pool_type "eos" with an id is "argmax" for vocabularies with tokens added after the end mark.
void read_pooling(const Json& text, const std::string& file, WeightsSource& source) {
  if (text.value("pool_type", Json()) != "eos") return;
  ClipGeometry& g = source.geometry;
  g.pooled_id = json_integer(text, "eos_id", 2, file);
  if (g.pooled_id >= g.vocab_size) {
    throw WeightsError(cat(file, ": text_cfg.eos_id is ", g.pooled_id,
                           ", but the vocabulary size is ", g.vocab_size, "; correct one of them"));
  }
}

// open_clip computes int(width * ratio); the quotient may round below the whole number.
double mlp_ratio(const TowerGeometry& tower) {
  const auto width = static_cast<double>(tower.width);
  double ratio = static_cast<double>(tower.mlp_width) / width;
  while (static_cast<std::int64_t>(width * ratio) < tower.mlp_width) {
    ratio = std::nextafter(ratio, std::numeric_limits<double>::infinity());
  }
  return ratio;
}

OrderedJson text_json(const ClipGeometry& g) {
  OrderedJson text{{"context_length", g.context_length},
                   {"vocab_size", g.vocab_size},
                   {"width", g.text.width},
                   {"heads", g.text.heads},
                   {"layers", g.text.layers},
                   {"mlp_ratio", mlp_ratio(g.text)}};
  if (g.norm_eps != 1e-5) text["norm_kwargs"] = {{"eps", g.norm_eps}};
  if (g.text.activation == Activation::kGeluTanh) text["act_kwargs"] = {{"approximate", "tanh"}};
  if (g.pooled_id >= 0) {
    text["pool_type"] = "eos";
    text["eos_id"] = g.pooled_id;
  }
  return text;
}

OrderedJson clip_json(const ClipGeometry& g) {
  OrderedJson vision{{"image_size", g.image_size}, {"layers", g.vision.layers},
                     {"width", g.vision.width},    {"head_width", g.vision.width / g.vision.heads},
                     {"patch_size", g.patch_size}, {"mlp_ratio", mlp_ratio(g.vision)}};
  const OrderedJson text = text_json(g);
  for (const char* key : {"norm_kwargs", "act_kwargs"}) {
    if (text.contains(key)) vision[key] = text[key];
  }
  return {{"embed_dim", g.embed_dim},
          {"quick_gelu", g.vision.activation == Activation::kQuickGelu},
          {"vision_cfg", vision},
          {"text_cfg", text}};
}

OrderedJson siglip_json(const ClipGeometry& g, const std::string& timm_model) {
  OrderedJson text = text_json(g);
  text["no_causal_mask"] = true;
  text["proj_bias"] = true;
  text["pool_type"] = "last";
  return {{"embed_dim", g.embed_dim},
          {"init_logit_bias", -10},
          {"custom_text", true},
          {"vision_cfg",
           {{"image_size", g.image_size},
            {"timm_model_name", timm_model},
            {"timm_model_pretrained", false},
            {"timm_pool", "map"},
            {"timm_proj", "none"}}},
          {"text_cfg", text}};
}

// Throws ConfigError when open_clip cannot express the geometry.
OrderedJson model_json(const ModelRequest& request, std::vector<std::string>& notes) {
  const ClipGeometry& g = request.source.geometry;
  if (g.family == Family::kSiglip) {
    return siglip_json(g,
                       request.timm_model.empty() ? timm_model_name(g, notes) : request.timm_model);
  }
  if (!request.timm_model.empty()) {
    throw ConfigError(
        "--timm-model: a CLIP model uses open_clip's own vision tower; leave this option out");
  }
  if (g.text.activation == g.vision.activation) return clip_json(g);
  throw ConfigError(cat("--to open_clip: the towers' activations differ (", activation_text(g),
                        "), which open_clip cannot represent; use --to hf"));
}

}  // namespace

void read_open_clip_config(const Json& json, const std::string& file, const ModelOptions& options,
                           WeightsSource& source) {
  const Json model = json.value("model_cfg", Json::object());
  const Family family = read_family(model.value("vision_cfg", Json::object()));
  source.geometry.family = family;
  require_supported(model, file, family);
  if (family == Family::kClip && !options.architecture.empty()) {
    throw ConfigError(
        cat("model.architecture: ", file, " already describes the model; leave this key out"));
  }
  read_towers(model, file, options, source);
  source.text.is_padded = form_of(family).pools_last_token;
  if (family == Family::kClip) {
    read_pooling(model.value("text_cfg", Json::object()), file, source);
  }
  read_open_clip_tokenizer(model.value("text_cfg", Json::object()), file, source);
  source.preprocessing = default_preprocessing(family);
  if (!json.contains("preprocess_cfg")) {
    source.notes.push_back(cat(file, ": no preprocess_cfg; using the family's default: ",
                               to_string(source.preprocessing)));
    return;
  }
  read_open_clip_preprocessing(json["preprocess_cfg"], file, source);
}

std::string open_clip_config(const ModelRequest& request, std::vector<std::string>& notes) {
  OrderedJson model = model_json(request, notes);
  write_open_clip_tokenizer(request.tokenizer, model["text_cfg"]);
  const OrderedJson json{
      {"model_cfg", model},
      {"preprocess_cfg", open_clip_preprocessing(request.source.preprocessing, notes)}};
  return json.dump(2) + "\n";
}

}  // namespace saferclip
