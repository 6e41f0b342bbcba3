// CLIP and SigLIP: a vision and a text transformer that share an embedding space. Plain structs of
// tensors; the canonical tensor names are Hugging Face's (`CLIPModel`, `SiglipModel`). Legend: B
// batch, L tokens, S image side in pixels, P patch side, D tower width, E embedding width.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "saferclip/core/preprocessing.h"
#include "saferclip/nn/attention_pool.h"
#include "saferclip/nn/transformer.h"

namespace saferclip {

// SigLIP (arXiv 2303.15343) and SigLIP 2 of fixed resolution (arXiv 2502.14786) are one family.
enum class Family { kClip, kSiglip };

// What the families differ in besides numbers: the one place that says so. Everything else asks
// for a property, never for a family, tables of names excepted.
struct FamilyForm {
  const char* name;        // Hugging Face's `model_type`
  const char* label;       // for people
  const char* class_name;  // of transformers' classes: CLIPModel, SiglipTextModel
  bool has_openai_names;   // OpenAI's layout covers it
  bool has_class_token;    // else all tokens go through an AttentionPool
  bool has_patch_bias;     // of the patch convolution
  bool has_pre_norm;       // LayerNorm before the vision blocks
  bool has_vision_projection;
  bool has_text_projection_bias;
  const char* text_projection;  // module of the text projection
  bool is_text_causal;
  bool pools_last_token;  // of a text padded to the context; else the end mark's
  bool has_logit_bias;
  bool has_scalar_shape;  // scale and bias are stored as [] and not as [1]
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
    visit(field("activation"), activation);
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
  // The token whose first place is pooled; -1: the largest of a caption (SigLIP: the last place).
  std::int64_t pooled_id = -1;
  bool operator==(const ClipGeometry&) const = default;

  // For keys: two geometries can have the same tensors and other embeddings (heads, norm_eps).
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
  // Rows of the vision position embedding: the grid, and the class token where there is one.
  std::int64_t positions() const {
    return grid() * grid() + (form_of(family).has_class_token ? 1 : 0);
  }
};

// "ViT 12 x 768 (12 heads), patch 32, 224 px; text 12 x 512 (8 heads), …" for people.
std::string to_string(const ClipGeometry& geometry);
// "quick_gelu", or "text gelu_pytorch_tanh, vision gelu" where the towers differ (open_clip's
// SigLIP 2 with a timm tower).
std::string activation_text(const ClipGeometry& geometry);
std::int64_t parameter_count(const ClipGeometry& geometry);

// Tensors that the family does not have are undefined.
struct VisionTower {
  at::Tensor class_embedding;     // [D]
  Linear patch_embedding;         // [D, 3·P·P], the convolution's kernel flattened
  at::Tensor position_embedding;  // [positions, D], class token first
  LayerNorm pre_norm;
  Transformer transformer;
  LayerNorm post_norm;
  AttentionPool pool;
  at::Tensor projection;  // [E, D]
};

struct TextTower {
  at::Tensor token_embedding;     // [vocab, D]
  at::Tensor position_embedding;  // [context, D]
  Transformer transformer;
  LayerNorm final_norm;
  at::Tensor projection;       // [E, D]
  at::Tensor projection_bias;  // [E] or undefined
};

struct ClipModel {
  ClipGeometry geometry;
  VisionTower vision;
  TextTower text;
  at::Tensor logit_scale;  // 0-d, the logarithm
  at::Tensor logit_bias;   // 0-d or undefined
};

// A canonical tensor and where it lives: rows [row, row + rows) of *storage (q, k and v share one
// storage), or all of it.
struct TensorSlot {
  std::string name;                 // Hugging Face's
  std::vector<std::int64_t> shape;  // in a file of that layout
  at::Tensor* storage = nullptr;
  std::int64_t row = 0;
  std::int64_t rows = 0;
};

// All tensors of the model in a fixed order. The pointers are valid as long as the model does not
// move.
std::vector<TensorSlot> tensor_slots(ClipModel& model);
// A view of the storage in the file's shape.
at::Tensor slot_view(const TensorSlot& slot);

// A linear layer that can carry an adapter, under its Hugging Face module path; `suffix` is the
// name that `adapter.targets` uses (q_proj, …, patch_embedding).
struct LinearSlot {
  std::string module;
  std::string suffix;
  Linear* layer = nullptr;
  std::int64_t row = 0;
  std::int64_t rows = 0;
};
std::vector<LinearSlot> linear_slots(ClipModel& model);

// A model of this geometry with uninitialised tensors: the weights and biases of matrix products
// (projections included) in `matmul_dtype`, LayerNorms, embeddings and scalars in fp32.
ClipModel allocate_clip(const ClipGeometry& geometry, at::ScalarType matmul_dtype,
                        at::Device device);

// The same tensors in another dtype or on another device; storages are copied unless equal already.
// With bf16, LayerNorms and embeddings stay fp32: only the weights of matrix products are
// converted.
void convert_clip(ClipModel& model, at::ScalarType matmul_dtype, at::Device device);

// Keeps the frozen weights of the blocks in the order that the products of a batch of `pictures`
// and `captions` read (nn/linear: pack_frozen); their values cannot be read any more.
void pack_frozen_weights(ClipModel& model, std::int64_t pictures, std::int64_t captions,
                         at::ScalarType compute);

// uint8 pixels [B, S, S, 3] to un-normalised embeddings [B, E] in fp32.
at::Tensor encode_images(const ClipModel& model, const Preprocessing& preprocessing,
                         const at::Tensor& pixels, const ForwardMode& mode);

// Token ids [B, L] (int32 or int64, L ≤ context) and the position of the pooled token [B] int64
// (the end mark; the last position of a padded text), to un-normalised embeddings [B, E] in fp32.
at::Tensor encode_texts(const ClipModel& model, const at::Tensor& ids,
                        const at::Tensor& end_positions, const ForwardMode& mode);

// Normalised pixels [B, 3, S, S] fp32 as a client's processor gives them: (x/255 - mean)/std.
at::Tensor normalise_pixels(const at::Tensor& pixels, const Preprocessing& preprocessing);

}  // namespace saferclip
