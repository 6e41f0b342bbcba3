// Models of the two families as numbers and properties, without any tensor.
#pragma once

#include <cstdint>
#include <string>

#include "saferclip/core/fields.h"
#include "saferclip/nn/activation.h"

namespace saferclip {

// SigLIP (arXiv 2303.15343) and fixed-resolution SigLIP 2 (arXiv 2502.14786) are one family.
enum class Family { kClip, kSiglip };

// The differences between the families besides numbers, in one place. All other code asks for a
// property, never for a family; tables of names are the exception.
struct FamilyForm {
  const char* name;        // Hugging Face's `model_type`
  const char* label;       // for people
  const char* class_name;  // prefix of transformers' classes: CLIPModel, SiglipTextModel
  bool has_openai_names;   // OpenAI's layout covers it
  bool has_class_token;    // false: all tokens go through an AttentionPool
  bool has_patch_bias;     // of the patch convolution
  bool has_pre_norm;       // LayerNorm before the vision blocks
  bool has_vision_projection;
  bool has_text_projection_bias;
  const char* text_projection;  // module of the text projection
  bool is_text_causal;
  bool pools_last_token;  // of a text padded to the context; false: the end mark
  bool has_logit_bias;
  bool has_scalar_shape;  // scale and bias are stored as [], not as [1]
};
const FamilyForm& form_of(Family family);

struct TowerGeometry {
  std::int64_t width = 0;
  std::int64_t layers = 0;
  std::int64_t heads = 0;
  std::int64_t mlp_width = 0;
  Activation activation = Activation::kQuickGelu;
  bool operator==(const TowerGeometry&) const = default;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    auto& [width, layers, heads, mlp_width, activation] = self;
    visit(field("width"), width);
    visit(field("layers"), layers);
    visit(field("heads"), heads);
    visit(field("mlp_width"), mlp_width);
    visit(field("activation").keyed_by_number(), activation);
  }
};

struct ClipGeometry {
  Family family = Family::kClip;
  TowerGeometry text;
  TowerGeometry vision;
  std::int64_t embed_dim = 0;
  std::int64_t image_size = 224;
  std::int64_t patch_size = 32;
  std::int64_t context_length = 77;
  std::int64_t vocab_size = 49408;
  double norm_eps = 1e-5;
  // The token whose first occurrence is pooled; -1: the largest id of a caption (SigLIP: the last
  // position).
  std::int64_t pooled_id = -1;
  bool operator==(const ClipGeometry&) const = default;

  // For keys: geometries with the same tensors can give different embeddings (heads, norm_eps).
  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    auto& [family, text, vision, embed_dim, image_size, patch_size, context_length, vocab_size,
           norm_eps, pooled_id] = self;
    visit(field("family"), family);
    visit(field("text"), text);
    visit(field("vision"), vision);
    visit(field("embed_dim"), embed_dim);
    visit(field("image_size"), image_size);
    visit(field("patch_size"), patch_size);
    visit(field("context_length"), context_length);
    visit(field("vocab_size"), vocab_size);
    visit(field("norm_eps"), norm_eps);
    visit(field("pooled_id"), pooled_id);
  }
  std::int64_t grid() const { return image_size / patch_size; }
  // Rows of the vision position embedding: the grid and, if any, the class token.
  std::int64_t positions() const {
    return grid() * grid() + (form_of(family).has_class_token ? 1 : 0);
  }
};

// "ViT 12 x 768 (12 heads), patch 32, 224 px; text 12 x 512 (8 heads), …" for people.
std::string to_string(const ClipGeometry& geometry);
// "quick_gelu", or "text gelu_pytorch_tanh, vision gelu" where the towers differ (open_clip's
// SigLIP 2 with a timm tower).
std::string activation_text(const ClipGeometry& geometry);

}  // namespace saferclip
