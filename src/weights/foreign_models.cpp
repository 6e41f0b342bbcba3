// For a model of another kind a list of missing tensors would be correct and useless. Its names are
// therefore checked first, and one sentence says what it is and what to use instead. The marks are
// names that no CLIP or SigLIP has.
#include "weights/foreign_models.h"

#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"

namespace saferclip {
namespace {

// What a tensor name reveals about models that are not read here, or not as CLIP.
struct ForeignMark {
  const char* prefix;
  const char* sentence;
  bool is_siglip = false;  // SigLIP has such names
};
constexpr const char* kResNet =
    "a ResNet CLIP, which saferclip, like transformers and PEFT, does not support; start from "
    "a ViT of the same family (ViT-B/32, ViT-B/16, ViT-L/14)";
constexpr const char* kSiglipNames =
    "a SigLIP model, but its configuration describes a CLIP; for a bare file, set "
    "model.architecture (for example, configs/models/ViT-B-16-SigLIP.json)";
constexpr ForeignMark kForeign[] = {
    {"visual.layer1.", kResNet},
    {"visual.attnpool.", kResNet},
    {"text.transformer.embeddings.",
     "an open_clip model with a Hugging Face text tower, which is not supported; use a model with "
     "CLIP's own text tower (without hf_model_name in its configuration)"},
    {"text_decoder.", "a CoCa model, which is not supported; use a CLIP model"},
    {"visual.attn_pool.",
     "a model with attentional pooling, which is not supported; use a model without it"},
    {"visual.trunk.attn_pool.", kSiglipNames, true},
    {"vision_model.head.", kSiglipNames, true},
    {"visual.trunk.",
     "an open_clip model with a timm vision tower; only SigLIP's timm towers are supported; use a "
     "model with open_clip's own ViT (without timm_model_name in its configuration)",
     true},
    {"logit_bias", kSiglipNames, true},
};

}  // namespace

void refuse_foreign_model(const TensorFiles& files, const std::string& where, Family family) {
  for (const ForeignMark& mark : kForeign) {
    if (mark.is_siglip && family == Family::kSiglip) continue;
    if (files.has_prefix(mark.prefix)) throw WeightsError(cat(where, ": is ", mark.sentence));
  }
}

}  // namespace saferclip
