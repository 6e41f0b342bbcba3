// Where each canonical tensor stands in OpenAI's layout, which is open_clip's too.
#include <ATen/ATen.h>

#include <map>

#include "weights/sources.h"
#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"

namespace saferclip {
namespace {

std::string replaced_prefix(const std::string& name, const std::string& from,
                            const std::string& to) {
  return name.starts_with(from) ? to + name.substr(from.size()) : "";
}

SourceTensor openai_block_name(const std::string& prefix, const std::string& rest) {
  static const std::map<std::string, std::string> kParts{
      {"layer_norm1.weight", "ln_1.weight"},
      {"layer_norm1.bias", "ln_1.bias"},
      {"layer_norm2.weight", "ln_2.weight"},
      {"layer_norm2.bias", "ln_2.bias"},
      {"self_attn.out_proj.weight", "attn.out_proj.weight"},
      {"self_attn.out_proj.bias", "attn.out_proj.bias"},
      {"mlp.fc1.weight", "mlp.c_fc.weight"},
      {"mlp.fc1.bias", "mlp.c_fc.bias"},
      {"mlp.fc2.weight", "mlp.c_proj.weight"},
      {"mlp.fc2.bias", "mlp.c_proj.bias"}};
  const std::size_t dot = rest.find('.');
  const std::string block = prefix + "transformer.resblocks." + rest.substr(0, dot) + ".";
  const std::string part = rest.substr(dot + 1);
  if (const auto found = kParts.find(part); found != kParts.end()) return {block + found->second};
  static constexpr const char* kThirds[] = {"self_attn.q_proj.", "self_attn.k_proj.",
                                            "self_attn.v_proj."};
  for (std::int64_t i = 0; i < 3; ++i) {
    const std::string kind = replaced_prefix(part, kThirds[i], "");
    if (!kind.empty()) return {cat(block, "attn.in_proj_", kind), false, i};
  }
  throw WeightsError(cat("no OpenAI name for tensor \"", part, "\""));
}

}  // namespace

SourceTensor openai_name(const std::string& canonical) {
  static const std::map<std::string, SourceTensor> kNames{
      {"logit_scale", {"logit_scale"}},
      {"text_projection.weight", {"text_projection", true}},
      {"visual_projection.weight", {"visual.proj", true}},
      {"text_model.embeddings.token_embedding.weight", {"token_embedding.weight"}},
      {"text_model.embeddings.position_embedding.weight", {"positional_embedding"}},
      {"text_model.final_layer_norm.weight", {"ln_final.weight"}},
      {"text_model.final_layer_norm.bias", {"ln_final.bias"}},
      {"vision_model.embeddings.class_embedding", {"visual.class_embedding"}},
      {"vision_model.embeddings.patch_embedding.weight", {"visual.conv1.weight"}},
      {"vision_model.embeddings.position_embedding.weight", {"visual.positional_embedding"}},
      {"vision_model.pre_layrnorm.weight", {"visual.ln_pre.weight"}},
      {"vision_model.pre_layrnorm.bias", {"visual.ln_pre.bias"}},
      {"vision_model.post_layernorm.weight", {"visual.ln_post.weight"}},
      {"vision_model.post_layernorm.bias", {"visual.ln_post.bias"}}};
  if (const auto found = kNames.find(canonical); found != kNames.end()) return found->second;
  for (const auto& [tower, prefix] :
       {std::pair<std::string, std::string>{"text_model.encoder.layers.", ""},
        {"vision_model.encoder.layers.", "visual."}}) {
    const std::string rest = replaced_prefix(canonical, tower, "");
    if (!rest.empty()) return openai_block_name(prefix, rest);
  }
  throw WeightsError(cat("no OpenAI name for tensor \"", canonical, "\""));
}

}  // namespace saferclip
