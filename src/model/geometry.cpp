// The table of the families' properties, and geometries as text. Code asks for a property, never
// for a family, so a family with another mix of them is one more row here. No tensors are involved:
// a geometry can be read, compared and printed before any exists.
#include "saferclip/model/geometry.h"

#include "saferclip/core/text_format.h"

namespace saferclip {

const FamilyForm& form_of(Family family) {
  static constexpr FamilyForm kClip{.name = "clip",
                                    .label = "CLIP",
                                    .class_name = "CLIP",
                                    .has_openai_names = true,
                                    .has_class_token = true,
                                    .has_patch_bias = false,
                                    .has_pre_norm = true,
                                    .has_vision_projection = true,
                                    .has_text_projection_bias = false,
                                    .text_projection = "text_projection",
                                    .is_text_causal = true,
                                    .pools_last_token = false,
                                    .has_logit_bias = false,
                                    .has_scalar_shape = true};
  static constexpr FamilyForm kSiglip{.name = "siglip",
                                      .label = "SigLIP",
                                      .class_name = "Siglip",
                                      .has_openai_names = false,
                                      .has_class_token = false,
                                      .has_patch_bias = true,
                                      .has_pre_norm = false,
                                      .has_vision_projection = false,
                                      .has_text_projection_bias = true,
                                      .text_projection = "text_model.head",
                                      .is_text_causal = false,
                                      .pools_last_token = true,
                                      .has_logit_bias = true,
                                      .has_scalar_shape = false};
  return family == Family::kClip ? kClip : kSiglip;
}

std::string to_string(const ClipGeometry& g) {
  return cat(g.family == Family::kClip ? "ViT " : "SigLIP ViT ", g.vision.layers, " x ",
             g.vision.width, " (", g.vision.heads, " heads), patch ", g.patch_size, ", ",
             g.image_size, " px; text ", g.text.layers, " x ", g.text.width, " (", g.text.heads,
             " heads), context ", g.context_length, "; embedding ", g.embed_dim, "; ",
             activation_text(g));
}

std::string activation_text(const ClipGeometry& g) {
  const std::string text = to_string(g.text.activation);
  const std::string vision = to_string(g.vision.activation);
  return text == vision ? text : cat("text ", text, ", vision ", vision);
}

}  // namespace saferclip
