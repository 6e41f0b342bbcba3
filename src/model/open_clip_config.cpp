#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "saferclip/model/weights.h"

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

}  // namespace

std::string open_clip_config(const ClipGeometry& g, const Preprocessing& p,
                             bool has_own_tokenizer) {
  Json vision{{"image_size", g.image_size}, {"layers", g.vision.layers},
              {"width", g.vision.width},    {"head_width", g.vision.width / g.vision.heads},
              {"patch_size", g.patch_size}, {"mlp_ratio", mlp_ratio(g.vision)}};
  Json text{{"context_length", g.context_length},
            {"vocab_size", g.vocab_size},
            {"width", g.text.width},
            {"heads", g.text.heads},
            {"layers", g.text.layers},
            {"mlp_ratio", mlp_ratio(g.text)}};
  if (g.norm_eps != 1e-5) {
    vision["norm_kwargs"] = {{"eps", g.norm_eps}};
    text["norm_kwargs"] = {{"eps", g.norm_eps}};
  }
  // With `local-dir:` any name means the folder's own tokenizer files.
  if (has_own_tokenizer) text["hf_tokenizer_name"] = "this folder";
  const Json preprocess{
      {"mean", p.mean},
      {"std", p.std},
      {"interpolation", p.interpolation == Interpolation::kBicubic ? "bicubic" : "bilinear"},
      {"resize_mode", p.resize_mode == ResizeMode::kShortest ? "shortest" : "squash"}};
  const Json config{{"model_cfg",
                     {{"embed_dim", g.embed_dim},
                      {"quick_gelu", g.activation == Activation::kQuickGelu},
                      {"vision_cfg", vision},
                      {"text_cfg", text}}},
                    {"preprocess_cfg", preprocess}};
  return config.dump(2) + "\n";
}

}  // namespace saferclip
