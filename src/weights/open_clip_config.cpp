#include <array>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "weights/timm_models.h"
#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"
#include "saferclip/weights/weights.h"

namespace saferclip {
namespace {

using Json = nlohmann::ordered_json;

// open_clip computes int(width * ratio); the quotient may round below the whole number.
double mlp_ratio(const TowerGeometry& tower) {
  const auto width = static_cast<double>(tower.width);
  double ratio = static_cast<double>(tower.mlp_width) / width;
  while (static_cast<std::int64_t>(width * ratio) < tower.mlp_width) {
    ratio = std::nextafter(ratio, std::numeric_limits<double>::infinity());
  }
  return ratio;
}

Json text_json(const ClipGeometry& g) {
  Json text{{"context_length", g.context_length},
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

Json clip_json(const ClipGeometry& g) {
  Json vision{{"image_size", g.image_size}, {"layers", g.vision.layers},
              {"width", g.vision.width},    {"head_width", g.vision.width / g.vision.heads},
              {"patch_size", g.patch_size}, {"mlp_ratio", mlp_ratio(g.vision)}};
  const Json text = text_json(g);
  for (const char* key : {"norm_kwargs", "act_kwargs"}) {
    if (text.contains(key)) vision[key] = text[key];
  }
  return {{"embed_dim", g.embed_dim},
          {"quick_gelu", g.vision.activation == Activation::kQuickGelu},
          {"vision_cfg", vision},
          {"text_cfg", text}};
}

// The clean function that open_clip runs over a caption before the tokenizer; "": its default.
std::string clean_function(TextCleaning cleaning, bool has_own_tokenizer) {
  switch (cleaning) {
    case TextCleaning::kSiglip:
    case TextCleaning::kCanonicalize:
      return "canonicalize";
    case TextCleaning::kWhitespace:
      return "whitespace";
    case TextCleaning::kOpenAi:
      return has_own_tokenizer ? "lower" : "";
    default:
      return has_own_tokenizer ? "whitespace" : "";
  }
}

// open_clip divides by 255, so another factor goes into mean and deviation.
std::array<double, 3> scaled(std::array<double, 3> values, const Preprocessing& p) {
  if (p.rescale != 1.0 / 255) {
    for (double& value : values) value /= 255 * p.rescale;
  }
  return values;
}

Json preprocess_json(const Preprocessing& p, std::vector<std::string>& notes) {
  const bool is_bilinear = p.interpolation == Interpolation::kBilinear;
  if ((!is_bilinear && p.interpolation != Interpolation::kBicubic) || p.resize_to != 0 ||
      p.resize_mode == ResizeMode::kNone) {
    notes.push_back(cat("open_clip has no setting for these weights' preprocessing (", to_string(p),
                        "): its pictures will be resized otherwise; --to hf is exact"));
  }
  Json json{{"mean", scaled(p.mean, p)},
            {"std", scaled(p.std, p)},
            {"interpolation", is_bilinear ? "bilinear" : "bicubic"},
            {"resize_mode", p.resize_mode == ResizeMode::kSquash    ? "squash"
                            : p.resize_mode == ResizeMode::kLongest ? "longest"
                                                                    : "shortest"}};
  if (p.resize_mode == ResizeMode::kLongest) json["fill_color"] = p.fill;
  return json;
}

Json siglip_json(const ClipGeometry& g, const std::string& timm_model) {
  Json text = text_json(g);
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

// The name of the tower, with a note on what open_clip will compute otherwise than these weights.
std::string timm_name(const ClipGeometry& g, std::vector<std::string>& notes) {
  const TimmModel* model = find_timm_model(g);
  if (model == nullptr) {
    throw ConfigError(
        cat("--to open_clip: open_clip takes SigLIP's vision tower from timm by name, and timm has "
            "none "
            "of this geometry (",
            to_string(g), "); use --to hf, or --timm-model NAME with a tower that you registered"));
  }
  if (model->tower.activation != g.vision.activation) {
    notes.push_back(cat("open_clip's vision tower ", model->name, " computes ",
                        to_string(model->tower.activation), ", these weights use ",
                        to_string(g.vision.activation),
                        ": its image embeddings will differ slightly; --to hf is exact"));
  }
  return model->name;
}

}  // namespace

std::string open_clip_config(const OpenClipRequest& request, std::vector<std::string>& notes) {
  const ClipGeometry& g = request.geometry;
  Json model;
  if (g.family == Family::kSiglip) {
    model = siglip_json(g, request.timm_model.empty() ? timm_name(g, notes) : request.timm_model);
  } else if (!request.timm_model.empty()) {
    throw ConfigError("--timm-model: a CLIP's vision tower is open_clip's own; leave it out");
  } else if (g.text.activation == g.vision.activation) {
    model = clip_json(g);
  } else {
    throw ConfigError(cat("--to open_clip: the towers' activations differ (", activation_text(g),
                          "), which open_clip has no setting for; use --to hf"));
  }
  // With `local-dir:` any name means the folder's own tokenizer files.
  if (request.has_own_tokenizer) model["text_cfg"]["hf_tokenizer_name"] = "this folder";
  const std::string clean = clean_function(request.cleaning, request.has_own_tokenizer);
  if (!clean.empty()) model["text_cfg"]["tokenizer_kwargs"] = {{"clean", clean}};
  return Json{{"model_cfg", model},
              {"preprocess_cfg", preprocess_json(request.preprocessing, notes)}}
             .dump(2) +
         "\n";
}

}  // namespace saferclip
